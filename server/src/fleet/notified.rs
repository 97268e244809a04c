//! What a node does when it is notified. Notifications only make things sooner: the periodic tasks find the same
//! changes within two seconds.

use std::future::pending;
use std::time::Duration;

use super::Fleet;
use crate::bus::{ChangeEvent, ChangeEvents};

/// Events that arrive within this time are handled together: a burst of changes costs one reading.
const GAP: Duration = Duration::from_millis(20);

/// Waits until another node may have changed what [`Fleet::follow`] reads.
///
/// # Cancel safety
/// Events that were received are lost. Call `follow` instead when something else ends the wait.
pub async fn until_changed_elsewhere(events: &mut ChangeEvents) {
    let is_change = |event: &ChangeEvent| match event {
        ChangeEvent::Schedule | ChangeEvent::Hosts | ChangeEvent::Missed => true,
        // Sessions are read with every request, and live queries have a task of their own.
        ChangeEvent::Sessions | ChangeEvent::Jobs | ChangeEvent::Events(_) => false,
    };
    while let Some(first) = events.next().await {
        tokio::time::sleep(GAP).await;
        if events.with_waiting(first).iter().any(is_change) {
            return;
        }
    }
    pending().await
}

impl Fleet {
    /// Brings the views of live queries up to date whenever a node notifies of them. Runs until it is dropped.
    pub async fn follow_live_queries(&self) {
        let mut events = self.notifier.subscribe();
        while let Some(first) = events.next().await {
            tokio::time::sleep(GAP).await;
            for event in events.with_waiting(first) {
                let outcome = match event {
                    ChangeEvent::Jobs | ChangeEvent::Missed => self.live.look().await,
                    ChangeEvent::Events(job) => self.live.look_at(job).await,
                    ChangeEvent::Schedule | ChangeEvent::Hosts | ChangeEvent::Sessions => Ok(()),
                };
                if let Err(error) = outcome {
                    tracing::debug!(%error, ?event, "change notification not applied; will retry at the next poll");
                }
            }
        }
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{LocalNotifier, Notifier as _};

    #[tokio::test]
    async fn changes_of_other_nodes_are_kept_until_somebody_waits_and_several_are_one() {
        let notifier = LocalNotifier::default();
        let mut events = notifier.subscribe();
        for event in [ChangeEvent::Events(7), ChangeEvent::Hosts, ChangeEvent::Schedule] {
            notifier.deliver(event);
        }
        until_changed_elsewhere(&mut events).await;
        notifier.publish(ChangeEvent::Schedule);
        assert_eq!(events.with_waiting(ChangeEvent::Jobs), [ChangeEvent::Jobs].into(), "nothing is left to wait for");
        notifier.deliver(ChangeEvent::Missed);
        until_changed_elsewhere(&mut events).await;
    }
}
