//! What nodes tell each other about who has checked in with them: a compressed bitmap of host ids and a time since which
//! all of these were seen, in as many messages as it takes to keep each small.

use bytes::Bytes;
use roaring::RoaringTreemap;

use super::times::PAGE_IDS;

/// The first byte. Messages of other versions are skipped and counted.
const VERSION: u8 = 1;

/// Pages of which one message tells at most. Their bitmap takes 128 KiB at most, 64 when they lie next to each other.
const PAGES: usize = 16;

/// Set in a message of a node that misses messages and asks for pages instead.
const ASKS_FOR_PAGES: u8 = 1;

/// A message of one node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeenMessage {
    pub node: String,
    /// One more than in the node's message before.
    pub sequence: u64,
    /// Whether the node asks the others to store their times, because it may have missed messages.
    pub asks_for_pages: bool,
    /// All of the hosts were seen at this second or later.
    pub since: u32,
    pub host_ids: RoaringTreemap,
}

impl SeenMessage {
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![VERSION, if self.asks_for_pages { ASKS_FOR_PAGES } else { 0 }];
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.since.to_le_bytes());
        bytes.push(u8::try_from(self.node.len()).unwrap_or(u8::MAX));
        bytes.extend(self.node.bytes().take(u8::MAX.into()));
        // Writing to memory does not fail.
        let _ = self.host_ids.serialize_into(&mut bytes);
        bytes.into()
    }

    /// `None` for a message that this version cannot read.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ([version, flags], rest) = bytes.split_first_chunk()?;
        if *version != VERSION {
            return None;
        }
        let (sequence, rest) = rest.split_first_chunk()?;
        let (since, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (node, rest) = rest.split_at_checked(usize::from(*length))?;
        let host_ids = RoaringTreemap::deserialize_from(rest).ok()?;
        // A few bytes may stand for a great many ids, each of which would take memory.
        if host_ids.len() > (PAGES * PAGE_IDS) as u64 || pages(&host_ids).len() > PAGES {
            return None;
        }
        Some(Self {
            node: std::str::from_utf8(node).ok()?.to_owned(),
            sequence: u64::from_le_bytes(*sequence),
            asks_for_pages: flags & ASKS_FOR_PAGES != 0,
            since: u32::from_le_bytes(*since),
            host_ids,
        })
    }
}

/// The numbers of the pages of hosts.
fn pages(host_ids: &RoaringTreemap) -> Vec<u64> {
    let mut pages: Vec<u64> = host_ids.iter().map(|id| id / PAGE_IDS as u64).collect();
    pages.dedup();
    pages
}

/// Divides check-ins into pieces for one message each: the hosts, and a second at which or later all of them were seen.
/// That is `start`, but for hosts whose request was read before it and took until now to be marked.
pub(super) fn pieces(seen: Vec<(i64, u32)>, start: u32) -> Vec<(u32, RoaringTreemap)> {
    let (late, timely): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(_, seconds)| *seconds < start);
    let late_since = late.iter().map(|(_, seconds)| *seconds).min().unwrap_or_default();
    let mut pieces = Vec::new();
    for (since, seen) in [(start, timely), (late_since, late)] {
        let all: RoaringTreemap = seen.into_iter().filter_map(|(id, _)| u64::try_from(id).ok()).collect();
        for pages in pages(&all).chunks(PAGES) {
            let [Some(first), Some(last)] = [pages.first(), pages.last()] else { continue };
            let ids = all.iter().skip_while(|id| id / (PAGE_IDS as u64) < *first);
            pieces.push((since, ids.take_while(|id| id / PAGE_IDS as u64 <= *last).collect()));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(host_ids: impl IntoIterator<Item = u64>) -> SeenMessage {
        let host_ids = host_ids.into_iter().collect();
        SeenMessage { node: "1-abc".to_owned(), sequence: 7, asks_for_pages: true, since: 100, host_ids }
    }

    #[test]
    fn messages_read_back_and_others_are_refused() {
        for message in [message([]), message([1, 500_000]), message(0..(PAGES * PAGE_IDS) as u64)] {
            let bytes = message.encode();
            assert_eq!(SeenMessage::decode(&bytes), Some(message));
            assert_eq!(SeenMessage::decode(&[&[2], &bytes[1..]].concat()), None, "a newer version");
            assert_eq!(SeenMessage::decode(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(SeenMessage::decode(&[]), None);
        assert_eq!(SeenMessage::decode(&message((0..=PAGES).map(|page| (page * PAGE_IDS) as u64)).encode()), None);
    }

    #[test]
    fn half_a_million_hosts_are_one_small_message() {
        // What one of 20 nodes sees in 5 s, when each host checks in every 8 s.
        let bytes = message((0..500_000).filter(|id| id % 32 == 0)).encode();
        assert!(bytes.len() < 33_000, "{}", bytes.len());
        let bytes = message(0..500_000).encode();
        assert!(bytes.len() < 66_000, "{}", bytes.len());
    }

    #[test]
    fn late_check_ins_get_their_own_time() {
        assert_eq!(pieces(vec![], 100), []);
        let pieces = pieces(vec![(1, 100), (2, 104), (3, 97), (4, 99), (-1, 100)], 100);
        let expected = [(100, vec![1, 2]), (97, vec![3, 4])].map(|(since, ids)| (since, ids.into_iter().collect()));
        assert_eq!(pieces, expected);
    }

    proptest! {
        #[test]
        fn pieces_hold_every_host_once_and_are_read(ids in prop::collection::btree_set(0..3_000_000_i64, 0..300)) {
            let pieces = pieces(ids.iter().map(|id| (*id, 100)).collect(), 100);
            let mut all = Vec::new();
            for (since, host_ids) in pieces {
                let read = SeenMessage::decode(&SeenMessage { since, host_ids, ..message([]) }.encode()).unwrap();
                all.extend(read.host_ids.iter().map(u64::cast_signed));
            }
            prop_assert_eq!(all, ids.into_iter().collect::<Vec<_>>());
        }
    }
}
