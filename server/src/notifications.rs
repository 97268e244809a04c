//! Carries notifications between what happens here and the other servers, so that a change is seen everywhere at once instead of
//! at the next look. A event that is lost costs seconds: everybody looks by itself from time to time.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::{ChangeEvent, Notifier};
use crate::fleet::Fleet;

/// ChangeEvents that come faster than this are carried together.
const GAP: Duration = Duration::from_millis(20);

/// Carries notifications for ever.
pub async fn relay(fleet: Fleet, notifier: Arc<dyn Notifier>) {
    tokio::join!(out(&fleet, &*notifier), back(&fleet, &*notifier));
}

async fn out(fleet: &Fleet, notifier: &dyn Notifier) {
    loop {
        fleet.signal.raised().await;
        // One event for both kinds of changes: whoever hears it looks at what all hosts share and at single hosts.
        notifier.publish(ChangeEvent::Schedule);
        tokio::time::sleep(GAP).await;
    }
}

async fn back(fleet: &Fleet, notifier: &dyn Notifier) {
    let mut notifications = notifier.subscribe();
    // The notifier ends with the server.
    while let Some(first) = notifications.next().await {
        tokio::time::sleep(GAP).await;
        for event in notifications.with_waiting(first) {
            if matches!(event, ChangeEvent::Schedule | ChangeEvent::Hosts | ChangeEvent::Missed) {
                fleet.signal.hear();
            }
            let looked = match event {
                ChangeEvent::Jobs | ChangeEvent::Missed => fleet.live.look().await,
                ChangeEvent::Events(job) => fleet.live.look_at(job).await,
                // Sessions are read with every request.
                ChangeEvent::Schedule | ChangeEvent::Hosts | ChangeEvent::Sessions => Ok(()),
            };
            if let Err(error) = looked {
                tracing::debug!(%error, ?event, "what a event is about is seen at the next look");
            }
        }
    }
}
