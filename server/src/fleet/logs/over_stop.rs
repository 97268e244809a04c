//! What a node remembers of last batches outlives a graceful stop: it is written to the database at the stop, and read and
//! removed at the next start. Without it, an agent whose acknowledgement was lost just before would add its lines again.
//! Redis keeps the batches that it was told of, so a node that uses it writes only the others. What several nodes have
//! written is read by the first of them that starts: a node has another id after each start, and agents may go to any.
//!
//! A stop writes at most [`MAX_SAVED`], the newest batches first, in pieces that are committed one by one: what the
//! time of a stop does not suffice for is forgotten. After a crash nothing is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::replay::LastBatch;
use super::{LogStream, Logs};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Host;
use crate::lock::lock;
use crate::store::{Store, log_batches};

/// Bytes a stop writes: the last batches of a million hosts with six lines each.
const MAX_SAVED: usize = 64 << 20;

/// Bytes of a piece, beyond which no batch is added to it. A row, and far below the least `max_allowed_packet`.
const PIECE: usize = 1 << 20;

/// The first byte of a piece. A node skips pieces of other formats, which other versions may write.
const FORMAT: u8 = 1;

/// A host's log.
type Key = (i64, LogStream);

/// Last batches from before the start, until their hosts send new ones.
#[derive(Debug)]
pub(super) struct Restored {
    batches: Mutex<HashMap<Key, LastBatch>>,
    newest: Moment,
}

impl Restored {
    /// Reads what was written at the last stop, and removes it.
    pub async fn take(store: &Store, now: Moment) -> Result<Self> {
        let pieces = store
            .write(async |tx| {
                let pieces = log_batches::first(tx, MAX_SAVED.div_ceil(PIECE) as u64).await?;
                if !pieces.is_empty() {
                    log_batches::clear(tx).await?;
                }
                Ok(pieces)
            })
            .await?;
        let mut batches = HashMap::new();
        for (key, batch) in pieces.iter().flat_map(|piece| decode(piece)).filter(|(_, batch)| batch.is_recent(now)) {
            let newest: &mut LastBatch = batches.entry(key).or_default();
            if batch.accepted_at() > newest.accepted_at() {
                *newest = batch;
            }
        }
        let newest = batches.values().map(LastBatch::accepted_at).max().unwrap_or_default();
        Ok(Self { batches: Mutex::new(batches), newest })
    }

    /// The last batch of a host's log, once.
    pub fn of(&self, host: i64, stream: LogStream, now: Moment) -> Option<LastBatch> {
        let mut batches = lock(&self.batches);
        if now.since(self.newest) > super::replay::REPEATED_WITHIN {
            *batches = HashMap::new();
        }
        batches.remove(&(host, stream))
    }
}

impl Logs {
    /// Writes the last batches of these hosts for the next start, and forgets them. For a node that keeps no lines any
    /// more.
    ///
    /// # Errors
    /// When the database does not answer; what was written before stays.
    pub async fn save(&self, hosts: Vec<Arc<Host>>) -> Result<()> {
        let now = self.clock.now();
        let mut recent: Vec<(Key, LastBatch)> = lock(&self.restored.batches).drain().collect();
        for host in hosts {
            for stream in LogStream::ALL {
                let Some(log) = host.known_log(stream) else { continue };
                let mut log = log.lock().await;
                if self.sharing.is_none() || log.is_unshared {
                    recent.push(((host.id, stream), std::mem::take(&mut log.last)));
                }
            }
        }
        recent.retain(|(_, batch)| batch.is_recent(now));
        recent.sort_unstable_by_key(|(_, batch)| std::cmp::Reverse(batch.accepted_at()));
        let (pieces, left_out) = encode(&recent, MAX_SAVED);
        if left_out > 0 {
            tracing::warn!(
                batches = left_out,
                "the last log batches of some hosts take too much room to be kept over the stop; lines that their agents \
                 send again may appear twice"
            );
        }
        for piece in pieces {
            self.store.write(async |tx| log_batches::add(tx, piece.clone()).await).await?;
        }
        Ok(())
    }
}

/// Pieces of at most so many bytes in all, and the number of batches left out.
fn encode(batches: &[(Key, LastBatch)], max_bytes: usize) -> (Vec<Vec<u8>>, usize) {
    let (mut pieces, mut piece, mut total) = (Vec::new(), vec![FORMAT], 0);
    let mut left_out = 0;
    for (at, ((host, stream), batch)) in batches.iter().enumerate() {
        total += 8 + 1 + 8 + 4 + 8 * batch.len();
        if total > max_bytes {
            left_out = batches.len() - at;
            break;
        }
        piece.extend_from_slice(&host.to_le_bytes());
        piece.extend_from_slice(stream.letter().as_bytes());
        piece.extend_from_slice(&batch.accepted_at().0.to_le_bytes());
        piece.extend_from_slice(&u32::try_from(batch.len()).unwrap_or(u32::MAX).to_le_bytes());
        piece.extend(batch.hashes().iter().flat_map(|hash| hash.to_le_bytes()));
        if piece.len() >= PIECE {
            pieces.push(std::mem::replace(&mut piece, vec![FORMAT]));
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    (pieces, left_out)
}

/// The batches of a piece, up to the first that cannot be read.
fn decode(piece: &[u8]) -> impl Iterator<Item = (Key, LastBatch)> {
    let mut rest = piece.strip_prefix(&[FORMAT]).unwrap_or_default();
    std::iter::from_fn(move || {
        let (batch, behind) = decode_first(rest)?;
        rest = behind;
        Some(batch)
    })
}

fn decode_first(bytes: &[u8]) -> Option<((Key, LastBatch), &[u8])> {
    let (host, rest) = bytes.split_first_chunk()?;
    let (letter, rest) = rest.split_first()?;
    let (accepted_at, rest) = rest.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let (hashes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(8)?)?;
    let stream = LogStream::of(std::str::from_utf8(&[*letter]).ok()?)?;
    let hashes = hashes.as_chunks().0.iter().map(|hash| u64::from_le_bytes(*hash)).collect();
    let batch = LastBatch::of(hashes, Moment(i64::from_le_bytes(*accepted_at)));
    Some((((i64::from_le_bytes(*host), stream), batch), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(host: i64, stream: LogStream, lines: usize) -> (Key, LastBatch) {
        let hashes = (0..lines as u64).map(|n| n << 32 | host.unsigned_abs()).collect();
        let batch = LastBatch::of(hashes, Moment(1_768_478_400_000_000 - host));
        ((host, stream), batch)
    }

    #[test]
    fn batches_are_read_as_they_were_written() {
        let batches = [
            batch(1, LogStream::Result, 1),
            batch(1, LogStream::Status, 64 * 1024),
            batch(2, LogStream::Result, 64 * 1024),
            batch(i64::MAX, LogStream::Result, 1_000),
        ];
        let (pieces, left_out) = encode(&batches, MAX_SAVED);
        assert_eq!((pieces.len(), left_out), (2, 0), "a piece ends when it is large");
        let read: Vec<_> = pieces.iter().flat_map(|piece| decode(piece)).collect();
        assert_eq!(read, batches);
    }

    #[test]
    fn the_newest_are_written_when_there_is_no_room_for_all() {
        let batches: Vec<_> = (1..10).map(|host| batch(host, LogStream::Result, 10)).collect();
        let (pieces, left_out) = encode(&batches, 350);
        assert_eq!(left_out, 6);
        let hosts: Vec<i64> = pieces.iter().flat_map(|piece| decode(piece)).map(|((host, _), _)| host).collect();
        assert_eq!(hosts, [1, 2, 3]);
    }

    #[test]
    fn a_piece_that_cannot_be_read_gives_nothing_more() {
        let (pieces, _) = encode(&[batch(1, LogStream::Result, 3), batch(2, LogStream::Status, 3)], MAX_SAVED);
        let piece = &pieces[0];
        assert_eq!(decode(&piece[..piece.len() - 1]).count(), 1);
        let mut other = piece.clone();
        other[0] = FORMAT + 1;
        assert_eq!(decode(&other).count(), 0);
        assert_eq!(decode(&[]).count(), 0);
    }
}
