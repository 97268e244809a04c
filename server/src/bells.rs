//! Carries bells between what happens here and the other servers, so that a change is seen everywhere at once instead of
//! at the next look. A bell that is lost costs seconds: everybody looks by itself from time to time.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::{Bell, Doorbell};
use crate::fleet::Fleet;

/// Bells that come faster than this are carried together.
const GAP: Duration = Duration::from_millis(20);

/// Carries bells for ever.
pub async fn carry(fleet: Fleet, notifier: Arc<dyn Doorbell>) {
    tokio::join!(out(&fleet, &*notifier), back(&fleet, &*notifier));
}

async fn out(fleet: &Fleet, notifier: &dyn Doorbell) {
    loop {
        fleet.bell.rung().await;
        // One bell for both kinds of changes: whoever hears it looks at what all hosts share and at single hosts.
        notifier.ring(Bell::Schedule);
        tokio::time::sleep(GAP).await;
    }
}

async fn back(fleet: &Fleet, notifier: &dyn Doorbell) {
    let mut bells = notifier.listen();
    // Nobody rings any more when the server has ended.
    while let Some(first) = bells.next().await {
        tokio::time::sleep(GAP).await;
        for bell in bells.with_waiting(first) {
            if matches!(bell, Bell::Schedule | Bell::Hosts | Bell::Missed) {
                fleet.bell.hear();
            }
            let looked = match bell {
                Bell::Jobs | Bell::Missed => fleet.live.look().await,
                Bell::Events(job) => fleet.live.look_at(job).await,
                // Sessions are read with every request.
                Bell::Schedule | Bell::Hosts | Bell::Sessions => Ok(()),
            };
            if let Err(error) = looked {
                tracing::debug!(%error, ?bell, "what a bell is about is seen at the next look");
            }
        }
    }
}
