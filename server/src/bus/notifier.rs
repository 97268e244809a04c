use std::collections::BTreeSet;
use std::future::{pending, ready};

use bytes::Bytes;
use tokio::sync::broadcast;

use super::{BusError, BusFuture};

/// What has changed, and is to be read again. Nodes of other versions read and write these texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeEvent {
    /// What hosts run: packs, queries, labels, options.
    Schedule,
    /// The hosts themselves: deleted, enrolled again, members of other labels.
    Hosts,
    /// Users and sessions.
    Sessions,
    /// Live queries: one was started or has ended.
    Jobs,
    /// One live query has events or answers.
    Events(i64),
    /// Events may have been lost: everything is to be read again.
    Missed,
}

impl ChangeEvent {
    pub(super) fn to_text(self) -> String {
        match self {
            Self::Schedule => "schedule".to_owned(),
            Self::Hosts => "hosts".to_owned(),
            Self::Sessions => "sessions".to_owned(),
            Self::Jobs => "jobs".to_owned(),
            Self::Events(job) => format!("events {job}"),
            Self::Missed => "missed".to_owned(),
        }
    }

    /// Whether the node that publishes the event hears it as well. A node has its own changes in memory before it
    /// publishes them; steps of a live query reach the views of a job only as events, those of its own node too.
    fn is_for_publisher(self) -> bool {
        matches!(self, Self::Events(_))
    }

    /// An event this version does not know means that everything is to be read again.
    pub(super) fn from_text(text: &str) -> Self {
        match text {
            "schedule" => Self::Schedule,
            "hosts" => Self::Hosts,
            "sessions" => Self::Sessions,
            "jobs" => Self::Jobs,
            _ => {
                let job = text.strip_prefix("events ").and_then(|job| job.parse().ok());
                job.map_or(Self::Missed, Self::Events)
            }
        }
    }
}

/// Tells the nodes what has changed. A notification is a hint and never the truth: it can be lost, come twice or come
/// late, so every subscriber also polls.
///
/// There is one notifier in a process: [`LocalNotifier`] on a single node, over Redis on several. Who changes something
/// publishes after the commit, whether or not there are other nodes.
pub trait Notifier: std::fmt::Debug + Send + Sync {
    /// Tells all other nodes, and the subscribers of this one about events of live queries. Never waits and never
    /// fails.
    fn publish(&self, event: ChangeEvent);
    /// Receives what concerns this node from now on: events of other nodes, and events of live queries from this one.
    fn subscribe(&self) -> ChangeEvents;
    /// Sends a message of at most [`MAX_MESSAGE`] bytes to all nodes, this one too. A message can be lost even though it
    /// was sent; senders number theirs, so that receivers notice. Nodes of versions without messages hear nothing of
    /// them.
    fn send(&self, message: Bytes) -> BusFuture<'_, ()>;
    /// Receives the messages of all nodes from now on.
    fn messages(&self) -> NodeMessages;
}

/// Bytes of a message between nodes at most; larger ones are dropped and counted.
pub const MAX_MESSAGE: usize = 256 << 10;

/// Messages of nodes kept for a subscriber that is slow; the oldest ones are dropped.
const WAITING_MESSAGES: usize = 128;

/// Messages between nodes in the order they were heard.
#[derive(Debug)]
pub struct NodeMessages(broadcast::Receiver<Bytes>);

impl NodeMessages {
    /// The next message. Waits for ever when there can be none.
    pub async fn next(&mut self) -> Bytes {
        loop {
            match self.0.recv().await {
                Ok(message) => return message,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => pending().await,
            }
        }
    }
}

/// Events kept for a slow subscriber; one that falls behind further receives [`ChangeEvent::Missed`].
const WAITING: usize = 256;

/// Change events in the order they were published.
#[derive(Debug)]
pub struct ChangeEvents(broadcast::Receiver<ChangeEvent>);

impl ChangeEvents {
    /// The next event, or `None` when nobody can publish any more.
    pub async fn next(&mut self) -> Option<ChangeEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(ChangeEvent::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// `first` and the events that wait behind it, each once.
    pub fn with_waiting(&mut self, first: ChangeEvent) -> BTreeSet<ChangeEvent> {
        let mut all = BTreeSet::from([first]);
        loop {
            match self.0.try_recv() {
                Ok(event) => all.insert(event),
                Err(broadcast::error::TryRecvError::Lagged(_)) => all.insert(ChangeEvent::Missed),
                Err(_) => return all,
            };
        }
    }
}

/// Delivers events and messages to the subscribers of one process.
#[derive(Debug, Clone)]
pub struct LocalNotifier {
    events: broadcast::Sender<ChangeEvent>,
    messages: broadcast::Sender<Bytes>,
}

impl Default for LocalNotifier {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(WAITING), messages: broadcast::Sender::new(WAITING_MESSAGES) }
    }
}

impl LocalNotifier {
    /// Delivers an event of another node.
    pub(crate) fn deliver(&self, event: ChangeEvent) {
        // There may be no subscriber.
        let _ = self.events.send(event);
    }

    /// Delivers a message of a node.
    pub(crate) fn deliver_message(&self, message: Bytes) {
        let _ = self.messages.send(message);
    }
}

impl Notifier for LocalNotifier {
    fn publish(&self, event: ChangeEvent) {
        if event.is_for_publisher() {
            self.deliver(event);
        }
    }

    fn subscribe(&self) -> ChangeEvents {
        ChangeEvents(self.events.subscribe())
    }

    /// Fails always: nothing leads from here to another node.
    fn send(&self, _message: Bytes) -> BusFuture<'_, ()> {
        Box::pin(ready(Err(BusError::Unavailable("there is no Redis to reach other nodes".to_owned()))))
    }

    fn messages(&self) -> NodeMessages {
        NodeMessages(self.messages.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_back() {
        for event in [
            ChangeEvent::Schedule,
            ChangeEvent::Hosts,
            ChangeEvent::Sessions,
            ChangeEvent::Jobs,
            ChangeEvent::Events(7),
            ChangeEvent::Missed,
        ] {
            assert_eq!(ChangeEvent::from_text(&event.to_text()), event);
        }
        assert_eq!(ChangeEvent::from_text("something newer"), ChangeEvent::Missed);
    }

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_reads_everything_again() {
        let notifier = LocalNotifier::default();
        let mut events = notifier.subscribe();
        notifier.deliver(ChangeEvent::Jobs);
        assert_eq!(events.next().await, Some(ChangeEvent::Jobs));
        (0..=WAITING).for_each(|_| notifier.deliver(ChangeEvent::Hosts));
        assert_eq!(events.next().await, Some(ChangeEvent::Missed));
        assert_eq!(events.next().await, Some(ChangeEvent::Hosts));
        notifier.deliver(ChangeEvent::Jobs);
        assert_eq!(
            events.with_waiting(ChangeEvent::Schedule),
            [ChangeEvent::Schedule, ChangeEvent::Hosts, ChangeEvent::Jobs].into()
        );
        drop(notifier);
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_node_hears_its_own_events_of_live_queries_and_all_of_other_nodes() {
        let notifier = LocalNotifier::default();
        let mut events = notifier.subscribe();
        let own = [
            ChangeEvent::Schedule,
            ChangeEvent::Hosts,
            ChangeEvent::Sessions,
            ChangeEvent::Jobs,
            ChangeEvent::Events(7),
        ];
        own.into_iter().for_each(|event| notifier.publish(event));
        // At the same time another node makes a change of the same kind.
        notifier.deliver(ChangeEvent::Schedule);
        assert_eq!(events.next().await, Some(ChangeEvent::Events(7)));
        assert_eq!(events.next().await, Some(ChangeEvent::Schedule));
        drop(notifier);
        assert_eq!(events.next().await, None);
    }
}
