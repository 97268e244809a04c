use std::collections::BTreeSet;

use tokio::sync::broadcast;

/// What to look at again.
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
    /// ChangeEvents may have been missed: everything.
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

    /// A event of a newer version, which nobody here knows, means to look at everything.
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

/// Tells all nodes, the publisher included, to look again. It is a hint and never the truth: notifications can be
/// missed, come twice or come late, so listeners also look by themselves from time to time.
pub trait Notifier: std::fmt::Debug + Send + Sync {
    /// Never waits and never fails.
    fn publish(&self, event: ChangeEvent);
    /// Receives what is published from now on.
    fn subscribe(&self) -> ChangeEvents;
}

/// ChangeEvents that are waiting for a slow listener; who falls behind further hears [`ChangeEvent::Missed`].
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

    /// This one and those that are waiting, each once.
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

/// The event of a single process.
#[derive(Debug, Clone)]
pub struct LocalNotifier(broadcast::Sender<ChangeEvent>);

impl Default for LocalNotifier {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Notifier for LocalNotifier {
    fn publish(&self, event: ChangeEvent) {
        // Nobody may be listening.
        let _ = self.0.send(event);
    }

    fn subscribe(&self) -> ChangeEvents {
        ChangeEvents(self.0.subscribe())
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
    async fn who_falls_behind_looks_at_everything() {
        let notifier = LocalNotifier::default();
        let mut notifications = notifier.subscribe();
        notifier.publish(ChangeEvent::Jobs);
        assert_eq!(notifications.next().await, Some(ChangeEvent::Jobs));
        (0..=WAITING).for_each(|_| notifier.publish(ChangeEvent::Hosts));
        assert_eq!(notifications.next().await, Some(ChangeEvent::Missed));
        assert_eq!(notifications.next().await, Some(ChangeEvent::Hosts));
        notifier.publish(ChangeEvent::Jobs);
        assert_eq!(
            notifications.with_waiting(ChangeEvent::Schedule),
            [ChangeEvent::Schedule, ChangeEvent::Hosts, ChangeEvent::Jobs].into()
        );
        drop(notifier);
        assert_eq!(notifications.next().await, None);
    }
}
