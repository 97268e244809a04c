use std::collections::BTreeSet;

use tokio::sync::broadcast;

/// What to look at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bell {
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
    /// Bells may have been missed: everything.
    Missed,
}

impl Bell {
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

    /// A bell of a newer version, which nobody here knows, means to look at everything.
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

/// Tells all replicas, the one that rings included, to look again. It is a hint and never the truth: bells can be
/// missed, come twice or come late, so listeners also look by themselves from time to time.
pub trait Doorbell: std::fmt::Debug + Send + Sync {
    /// Never waits and never fails.
    fn ring(&self, bell: Bell);
    /// Hears what is rung from now on.
    fn listen(&self) -> Bells;
}

/// Bells that are waiting for a slow listener; who falls behind further hears [`Bell::Missed`].
const WAITING: usize = 256;

/// Bells as they are rung.
#[derive(Debug)]
pub struct Bells(broadcast::Receiver<Bell>);

impl Bells {
    /// The next bell, or `None` when nobody can ring any more.
    pub async fn next(&mut self) -> Option<Bell> {
        match self.0.recv().await {
            Ok(bell) => Some(bell),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Bell::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// This one and those that are waiting, each once.
    pub fn with_waiting(&mut self, first: Bell) -> BTreeSet<Bell> {
        let mut all = BTreeSet::from([first]);
        loop {
            match self.0.try_recv() {
                Ok(bell) => all.insert(bell),
                Err(broadcast::error::TryRecvError::Lagged(_)) => all.insert(Bell::Missed),
                Err(_) => return all,
            };
        }
    }
}

/// The bell of a single process.
#[derive(Debug, Clone)]
pub struct LocalDoorbell(broadcast::Sender<Bell>);

impl Default for LocalDoorbell {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING))
    }
}

impl Doorbell for LocalDoorbell {
    fn ring(&self, bell: Bell) {
        // Nobody may be listening.
        let _ = self.0.send(bell);
    }

    fn listen(&self) -> Bells {
        Bells(self.0.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bells_read_back() {
        for bell in [Bell::Schedule, Bell::Hosts, Bell::Sessions, Bell::Jobs, Bell::Events(7), Bell::Missed] {
            assert_eq!(Bell::from_text(&bell.to_text()), bell);
        }
        assert_eq!(Bell::from_text("something newer"), Bell::Missed);
    }

    #[tokio::test]
    async fn who_falls_behind_looks_at_everything() {
        let notifier = LocalDoorbell::default();
        let mut bells = notifier.listen();
        notifier.ring(Bell::Jobs);
        assert_eq!(bells.next().await, Some(Bell::Jobs));
        (0..=WAITING).for_each(|_| notifier.ring(Bell::Hosts));
        assert_eq!(bells.next().await, Some(Bell::Missed));
        assert_eq!(bells.next().await, Some(Bell::Hosts));
        notifier.ring(Bell::Jobs);
        assert_eq!(bells.with_waiting(Bell::Schedule), [Bell::Schedule, Bell::Hosts, Bell::Jobs].into());
        drop(notifier);
        assert_eq!(bells.next().await, None);
    }
}
