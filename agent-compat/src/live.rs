//! One agent living in real time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use crate::{
    agent::{Agent, Next, Thread},
    transport::{Transport, outcome},
};

/// Period at which the schedule runs.
const TICK: Duration = Duration::from_secs(1);
/// Longest sleep, so that a change from outside is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// An agent that a driver and an observer share. It is locked for the length of one step, during which its SQL runs.
pub type SharedAgent = Arc<Mutex<Agent>>;

/// Unix time in milliseconds by the system's clock.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Locks an agent, even after a panic elsewhere.
pub fn lock(agent: &Mutex<Agent>) -> MutexGuard<'_, Agent> {
    agent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets an agent live until `stop` becomes true or its sender is gone. Requests under way are then abandoned.
///
/// Uses no tasks of its own: threads and scheduler of the agent run one after the other in the calling task.
pub async fn run<T: Transport>(agent: SharedAgent, transport: T, mut stop: watch::Receiver<bool>) {
    let wake = Notify::new();
    let living = async {
        tokio::join!(
            serve(&agent, Thread::Config, &transport, &wake),
            serve(&agent, Thread::Logger, &transport, &wake),
            serve(&agent, Thread::Distributed, &transport, &wake),
            keep_schedule(&agent, &wake),
        )
    };
    tokio::select! {
        _ = stop.wait_for(|stopped| *stopped) => {}
        _ = living => {}
    }
}

async fn serve<T: Transport>(agent: &Mutex<Agent>, thread: Thread, transport: &T, wake: &Notify) {
    loop {
        let woken = wake.notified();
        let now = now_ms();
        let next = lock(agent).next(thread, now);
        match next {
            Next::Send(request) => {
                let within = Duration::from_millis(request.deadline_ms.saturating_sub(now));
                let result = transport.send(thread, &request, within).await;
                if let Some(done) = lock(agent).done(thread, outcome(&result), now_ms())
                    && !done.verdict.is_success()
                {
                    tracing::debug!(step = ?done.step, verdict = ?done.verdict, "server did not accept the request of the agent");
                }
                // Another thread may wait for this one's enrollment or first configuration.
                wake.notify_waiters();
            }
            Next::WaitUntil(at_ms) => {
                let pause = Duration::from_millis(at_ms.saturating_sub(now)).min(LONGEST_SLEEP);
                tokio::select! {
                    () = sleep(pause) => {}
                    () = woken => {}
                }
            }
        }
    }
}

async fn keep_schedule(agent: &Mutex<Agent>, wake: &Notify) {
    loop {
        sleep(TICK).await;
        let mut agent = lock(agent);
        let restarts_before = agent.counters().restarts;
        agent.tick(now_ms());
        if agent.counters().restarts != restarts_before {
            wake.notify_waiters();
        }
    }
}
