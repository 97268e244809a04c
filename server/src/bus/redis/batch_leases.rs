//! Leases on the batches of hosts' logs: the right of one node to keep batches without asking Redis.
//!
//! The key of the batch lock says which node has the lease, and in which term it took it. A term lasts as long as the
//! node's own key in Redis lives without a break, and never comes again. So a lease has ended for certain when the key of
//! its node is missing. A node that wants batches while the key lives adds them to what is wanted of the other node, which
//! reads that whenever it renews its key.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::link::{Link, Purpose};
use super::script::{Call, ScriptStep};
use crate::lock::lock;

/// How long a term goes on when it is not renewed.
pub const TERM_LASTS: Duration = Duration::from_secs(4);

/// How long a log stays among those that are wanted. Who still wants it then asks again.
const WANTED_FOR: Duration = Duration::from_secs(4);

/// A node that has not renewed its term for so long has died or is cut off: one that gives up many leases is late by a second.
const SILENT_AFTER: Duration = Duration::from_millis(1_500);

/// Ended leases of other nodes that are remembered: one for each term, and terms end when nodes do.
const MAX_ENDED: usize = 4;

/// Most logs that are wanted of one node at one time, and how many of them it is told at once.
const MAX_WANTED: usize = 65_536;
const WANTED_AT_ONCE: usize = 4_096;

/// The group of keys for Redis's sake: a node's own keys belong to no host.
const NODES: i64 = 0;

/// A lease that a node has or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLease {
    text: String,
    node: String,
}

impl BatchLease {
    /// How long its key lasts: a node uses a lease for a minute, and a repeat may come two hours after the last
    /// batch. Until then other nodes must ask the one that knows that batch.
    pub const LASTS: Duration = Duration::from_secs(3 * 3600);

    pub(super) fn text_of(node: &str, term: i64) -> String {
        format!("lease {node} {term}")
    }

    /// Reads what the key says, if that is a lease.
    pub(super) fn read(text: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(text).ok()?;
        let (node, _) = text.strip_prefix("lease ")?.split_once(' ')?;
        Some(Self { node: node.to_owned(), text })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The outcome of asking a node for a host's batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseReply {
    /// The node will hear of it.
    Told,
    /// The node has not been heard of lately. If that stays so, the lease ends then.
    Silent { ends_in: Duration },
    /// The lease has ended.
    Ended,
    /// Redis does not answer.
    Unknown,
}

/// The answer to a node that renews its term.
#[derive(Debug, PartialEq, Eq)]
pub struct RenewedTerm {
    /// As it was, or a new one: then all leases of the one before have ended.
    pub term: i64,
    /// Host and log of the batches that others want.
    pub wanted: Vec<(i64, String)>,
}

/// The term of this node, and the way to others.
#[derive(Debug)]
pub struct BatchLeases {
    link: Arc<Link>,
    node: String,
    renew: ScriptStep,
    want: ScriptStep,
    /// Leases of other nodes that have ended, the latest first. A term never comes again, so all leases taken in it have.
    ended: Mutex<VecDeque<BatchLease>>,
}

impl BatchLeases {
    pub(super) fn new(link: Arc<Link>, node: &str) -> Self {
        Self {
            link,
            node: node.to_owned(),
            renew: ScriptStep::new(include_str!("scripts/renew_leases.lua")),
            want: ScriptStep::new(include_str!("scripts/want_lease.lua")),
            ended: Mutex::default(),
        }
    }

    /// Renews the term for [`TERM_LASTS`], or begins another one if it is over. `None` when Redis does not answer; it may
    /// have begun one all the same.
    pub async fn renew(&self, term: i64) -> Option<RenewedTerm> {
        let (term, lasts) = (term.to_string(), TERM_LASTS.as_millis().to_string());
        let at_once = WANTED_AT_ONCE.to_string();
        let arguments = [term.as_bytes(), lasts.as_bytes(), at_once.as_bytes()];
        let call = Call::Script { step: &self.renew, keys: &keys(&self.node), arguments: &arguments };
        let renewed: Result<(i64, Vec<String>), _> = self.link.call(Purpose::Logs, "leases_renew", NODES, call).await;
        let (term, wanted) = renewed.ok()?;
        let key = |text: String| {
            let (host, log) = text.split_once(':')?;
            Some((host.parse().ok()?, log.to_owned()))
        };
        Some(RenewedTerm { term, wanted: wanted.into_iter().filter_map(key).collect() })
    }

    /// Asks the node that has a lease to give it up.
    pub async fn want(&self, lease: &BatchLease, host: i64, log: &str) -> LeaseReply {
        let (wanted, lasts) = (format!("{host}:{log}"), WANTED_FOR.as_millis().to_string());
        let most = MAX_WANTED.to_string();
        let arguments = [wanted.as_bytes(), lasts.as_bytes(), most.as_bytes()];
        let call = Call::Script { step: &self.want, keys: &keys(&lease.node), arguments: &arguments };
        let left: Result<u64, _> = self.link.call(Purpose::Logs, "leases_want", NODES, call).await;
        match left.map(Duration::from_millis) {
            Ok(Duration::ZERO) => {
                let mut ended = lock(&self.ended);
                if !ended.contains(lease) {
                    ended.push_front(lease.clone());
                    ended.truncate(MAX_ENDED);
                }
                LeaseReply::Ended
            }
            Ok(ends_in) if ends_in + SILENT_AFTER < TERM_LASTS => LeaseReply::Silent { ends_in },
            Ok(_) => LeaseReply::Told,
            Err(_) => LeaseReply::Unknown,
        }
    }

    /// The leases that this node has found ended.
    pub(super) fn ended(&self) -> Vec<BatchLease> {
        lock(&self.ended).iter().cloned().collect()
    }

    /// Ends the term. For a node that keeps no batches any more.
    pub async fn end(&self) {
        let [term, wanted] = keys(&self.node);
        let mut command = ::redis::cmd("DEL");
        command.arg(term).arg(wanted);
        // Without it the term ends by itself.
        let _: Result<i64, _> = self.link.call(Purpose::Logs, "leases_end", NODES, Call::Command(&command)).await;
    }
}

fn keys(node: &str) -> [String; 2] {
    [format!("{{muster:logs:node:{node}}}:term"), format!("{{muster:logs:node:{node}}}:wanted")]
}
