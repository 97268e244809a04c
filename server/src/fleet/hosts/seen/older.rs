//! Nodes of the version before keep last-seen times in the rows of hosts, and know no pages. While one of them lives, every
//! node writes the times of its hosts there, too, and reads what they have written.

use std::collections::HashMap;
use std::time::Duration;

use super::times;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Hosts;
use crate::lock::lock;
use crate::store::hosts::{self, LastSeen};

/// A time is written when the one written last is older than this.
const STALENESS_SECS: u32 = 30;

/// Hosts written in one transaction, so that none holds locks for long.
const HOSTS_AT_ONCE: usize = 500;

/// How often rows are read.
const READ_EVERY: Duration = Duration::from_secs(20);

/// A time may appear in a row this long after it: a node of the version before writes those of the last 30 s, and commits and
/// readings may be late.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);

/// Hosts read in one statement.
const ROWS_AT_ONCE: u64 = 10_000;

/// What this node knows of nodes of the version before.
#[derive(Debug, Default)]
pub(super) struct OlderNodes {
    /// `None` until nodes were read first.
    are_there: Option<bool>,
    /// Times in rows, in seconds, as far as this node has written or read them.
    in_rows: HashMap<i64, u32>,
    /// When rows were last read, if they have to be read again.
    read_at: Option<Moment>,
}

impl OlderNodes {
    /// Takes over whether there are any. Returns whether that is news.
    pub fn set(&mut self, are_there: bool) -> bool {
        self.are_there.replace(are_there).unwrap_or_default() != are_there
    }

    /// Whether there are any, or there may be.
    pub fn may_be_there(&self) -> bool {
        self.are_there.unwrap_or(true)
    }

    fn is_reading_due(&self, now: Moment) -> bool {
        match self.read_at {
            Some(at) => now.since(at) >= READ_EVERY || !self.may_be_there(),
            None => self.may_be_there(),
        }
    }
}

impl Hosts {
    /// Reads last-seen times in rows of hosts, when it is time to: while there is a node that writes them there, and once
    /// after it has gone.
    pub(super) async fn read_seen_of_older(&self) -> Result<()> {
        let now = self.clock.now();
        let (since, is_last_reading) = {
            let older = lock(&self.seen_sharing.older);
            if !older.is_reading_due(now) {
                return Ok(());
            }
            (older.read_at.map_or(Moment::NEVER, |at| at.minus(APPEARS_WITHIN)), !older.may_be_there())
        };
        let (mut after, now_secs) = (i64::MIN, times::seconds(now));
        loop {
            let rows = hosts::seen_since(self.store.reader(), since, after, ROWS_AT_ONCE).await?;
            let seconds =
                |row: &LastSeen| (row.host_id, times::believed(times::seconds(row.at), now_secs).min(now_secs));
            self.merge_seen(rows.iter().map(seconds));
            let mut older = lock(&self.seen_sharing.older);
            for (host_id, seconds) in rows.iter().map(seconds) {
                let in_row = older.in_rows.entry(host_id).or_default();
                *in_row = seconds.max(*in_row);
            }
            match rows.last() {
                Some(last) if rows.len() as u64 == ROWS_AT_ONCE => after = last.host_id,
                _ => {
                    older.read_at = (!is_last_reading).then_some(now);
                    return Ok(());
                }
            }
        }
    }

    /// Writes last-seen times to rows of hosts, if there is a node that reads them there.
    pub(super) async fn write_seen_for_older(&self, everything: bool) -> Result<()> {
        let staleness = if everything { 0 } else { STALENESS_SECS };
        let due: Vec<LastSeen> = {
            let mut older = lock(&self.seen_sharing.older);
            if !older.may_be_there() {
                older.in_rows = HashMap::new();
                return Ok(());
            }
            let seen = self.index.all().into_iter().map(|host| LastSeen { host_id: host.id, at: host.seen() });
            let is_due = |seen: &LastSeen| {
                let in_row = older.in_rows.get(&seen.host_id);
                in_row.is_none_or(|in_row| times::seconds(seen.at) > in_row.saturating_add(staleness))
            };
            seen.filter(is_due).collect()
        };
        for batch in due.chunks(HOSTS_AT_ONCE) {
            self.store.write(async |tx| hosts::mark_seen(tx, batch.to_vec()).await).await?;
            let written = batch.iter().map(|seen| (seen.host_id, times::seconds(seen.at)));
            lock(&self.seen_sharing.older).in_rows.extend(written);
        }
        Ok(())
    }
}
