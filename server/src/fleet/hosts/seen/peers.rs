//! Which other nodes there are, and whether each of them hears all the others. From that follows whether messages are
//! enough or times have to go through the stored pages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::message::SeenMessage;
use crate::clock::Moment;

/// A node that was not heard for this long is silent: three messages are missing.
const SILENT_AFTER: Duration = Duration::from_secs(15);

/// Pages are used for this long after the last message that failed or is missing. By then, every node has been asked to
/// store what was in it, and has done so.
const MENDED_AFTER: Duration = Duration::from_secs(30);

/// Nodes that were heard are remembered for this long.
const REMEMBERED_FOR: Duration = Duration::from_secs(75);

/// Most nodes that are remembered. Times of further ones go through the stored pages.
const MAX_PEERS: usize = 1_000;

#[derive(Debug)]
pub(super) struct Peers {
    own: String,
    /// Other nodes that understand messages and have written to the database lately.
    alive: BTreeSet<String>,
    heard: BTreeMap<String, HeardNode>,
    /// When a message of this node last failed.
    failed_at: Option<Moment>,
}

#[derive(Debug)]
struct HeardNode {
    next_sequence: u64,
    at: Moment,
    /// Since when no message was missing.
    whole_since: Moment,
    asks_for_pages: bool,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// It is of this node itself.
    Own,
    New,
    /// As above, and messages before it are missing.
    Missed,
}

impl Peers {
    pub fn new(own: &str) -> Self {
        Self { own: own.to_owned(), alive: BTreeSet::new(), heard: BTreeMap::new(), failed_at: None }
    }

    /// Takes over which other nodes the database knows.
    pub fn set_alive(&mut self, alive: BTreeSet<String>, now: Moment) {
        self.heard.retain(|node, heard| alive.contains(node) || now.since(heard.at) < REMEMBERED_FOR);
        self.alive = alive;
    }

    pub fn hear(&mut self, message: &SeenMessage, now: Moment) -> Hearing {
        if message.node == self.own {
            return Hearing::Own;
        }
        let next_sequence = message.sequence.saturating_add(1);
        let Some(heard) = self.heard.get_mut(&message.node) else {
            if self.heard.len() < MAX_PEERS {
                let asks_for_pages = message.asks_for_pages;
                let heard = HeardNode { next_sequence, at: now, whole_since: now, asks_for_pages };
                self.heard.insert(message.node.clone(), heard);
            }
            return Hearing::New;
        };
        let is_missing = message.sequence > heard.next_sequence || is_silent(heard, now);
        // One that comes twice takes nothing back.
        heard.next_sequence = heard.next_sequence.max(next_sequence);
        heard.at = now;
        heard.asks_for_pages = message.asks_for_pages;
        if is_missing {
            heard.whole_since = now;
            return Hearing::Missed;
        }
        Hearing::New
    }

    /// Whether there are other nodes to tell.
    pub fn has_others(&self, now: Moment) -> bool {
        !self.alive.is_empty() || self.heard.values().any(|heard| !is_silent(heard, now))
    }

    /// Whether this node may have missed messages of others.
    pub fn is_deaf(&self, now: Moment) -> bool {
        let is_whole = |heard: &HeardNode| !is_silent(heard, now) && now.since(heard.whole_since) >= MENDED_AFTER;
        self.alive.iter().any(|node| !self.heard.get(node).is_some_and(is_whole))
    }

    /// Notes whether the messages of this node were sent.
    pub fn sent(&mut self, is_sent: bool, now: Moment) {
        if !is_sent {
            self.failed_at = Some(now);
        }
    }

    /// Whether messages do not reach every node, so that times have to go through the stored pages.
    pub fn are_pages_needed(&self, now: Moment) -> bool {
        let is_asked = || self.heard.values().any(|heard| heard.asks_for_pages && !is_silent(heard, now));
        let has_failed = self.failed_at.is_some_and(|at| now.since(at) < MENDED_AFTER);
        self.has_others(now) && (has_failed || self.is_deaf(now) || is_asked())
    }
}

fn is_silent(heard: &HeardNode, now: Moment) -> bool {
    now.since(heard.at) >= SILENT_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::NEVER.plus(Duration::from_secs(1_000 + seconds))
    }

    fn message(node: &str, sequence: u64, asks_for_pages: bool) -> SeenMessage {
        SeenMessage { node: node.to_owned(), sequence, asks_for_pages, since: 0, host_ids: Default::default() }
    }

    fn alive(nodes: &[&str]) -> BTreeSet<String> {
        nodes.iter().map(|node| (*node).to_owned()).collect()
    }

    /// A node that hears another one every 5 s up to a time.
    fn in_touch(until: u64) -> Peers {
        let mut peers = Peers::new("own");
        peers.set_alive(alive(&["other"]), at(0));
        for (sequence, second) in (0..=until).step_by(5).enumerate() {
            peers.hear(&message("other", sequence as u64, false), at(second));
        }
        peers
    }

    #[test]
    fn a_single_node_needs_nobody() {
        let mut peers = Peers::new("own");
        assert!(!peers.has_others(at(0)) && !peers.is_deaf(at(0)) && !peers.are_pages_needed(at(0)));
        peers.sent(false, at(0));
        assert_eq!(peers.hear(&message("own", 7, true), at(0)), Hearing::Own);
        assert!(!peers.has_others(at(0)) && !peers.are_pages_needed(at(0)));
    }

    #[test]
    fn pages_are_needed_until_every_node_was_heard_for_a_while() {
        let mut peers = Peers::new("own");
        peers.set_alive(alive(&["other"]), at(0));
        assert!(peers.has_others(at(0)) && peers.is_deaf(at(0)) && peers.are_pages_needed(at(0)));
        assert!(in_touch(25).are_pages_needed(at(29)));
        assert!(!in_touch(30).are_pages_needed(at(30)));
        let mut peers = in_touch(30);
        peers.set_alive(alive(&["other", "third"]), at(30));
        assert!(peers.is_deaf(at(30)), "the third was never heard");
    }

    #[test]
    fn silence_and_missing_messages_call_for_pages() {
        let mut peers = in_touch(60);
        assert!(!peers.is_deaf(at(74)));
        assert!(peers.is_deaf(at(75)) && peers.are_pages_needed(at(75)));
        assert_eq!(peers.hear(&message("other", 13, false), at(76)), Hearing::Missed);
        assert!(peers.is_deaf(at(76)));

        let mut peers = in_touch(60);
        assert_eq!(peers.hear(&message("other", 12, false), at(61)), Hearing::New, "twice");
        assert_eq!(peers.hear(&message("other", 15, false), at(65)), Hearing::Missed);
        assert!(peers.is_deaf(at(65)));
        // A node that has stopped is waited for by nobody.
        peers.set_alive(alive(&[]), at(66));
        assert!(!peers.is_deaf(at(66)) && !peers.are_pages_needed(at(66)));
    }

    #[test]
    fn a_node_that_misses_messages_asks_the_others_for_pages() {
        let mut peers = in_touch(60);
        peers.hear(&message("other", 13, true), at(65));
        assert!(peers.are_pages_needed(at(65)) && !peers.is_deaf(at(65)));
        peers.hear(&message("other", 14, false), at(70));
        assert!(!peers.are_pages_needed(at(70)));
        peers.sent(false, at(70));
        assert!(peers.are_pages_needed(at(99)));
        peers.sent(true, at(71));
        assert!(peers.are_pages_needed(at(72)), "what failed may be missed for a while");
    }
}
