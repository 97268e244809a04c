//! Whether the threads of the server go on working. Each beats once a second as long as its runtime gives it the processor; one
//! that is blocked, or goes round and round, does not. Waiting for a database or for Redis stops no beat.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// Time from one beat of a thread to the next.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// The beats of all threads. Clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Liveness(Arc<Mutex<Vec<Weak<Beat>>>>);

/// The beat of a thread, for as long as its runtime is there.
#[derive(Debug)]
struct Beat {
    thread: &'static str,
    latest: Mutex<Instant>,
}

impl Liveness {
    /// Beats for the thread that runs the future, which never ends. Once it is dropped, as with a runtime that ends, the thread is
    /// not expected to beat any more.
    pub(crate) fn beat(&self, thread: &'static str) -> impl Future<Output = ()> + use<> {
        let beat = Arc::new(Beat { thread, latest: Mutex::new(Instant::now()) });
        let mut all = lock(&self.0);
        all.retain(|beat| beat.strong_count() > 0);
        all.push(Arc::downgrade(&beat));
        async move {
            loop {
                tokio::time::sleep(BEAT_EVERY).await;
                *lock(&beat.latest) = Instant::now();
            }
        }
    }

    /// A thread that has not beaten for longer than `patience`, which must be longer than the second between beats.
    pub(crate) fn stuck(&self, patience: Duration) -> Option<&'static str> {
        let all: Vec<Arc<Beat>> = lock(&self.0).iter().filter_map(Weak::upgrade).collect();
        all.iter().find(|beat| lock(&beat.latest).elapsed() > patience).map(|beat| beat.thread)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_thread_that_is_blocked_is_found_and_one_that_has_ended_is_not_missed() {
        let liveness = Liveness::default();
        let (unblock, blocked) = mpsc::channel::<()>();
        let beaten = liveness.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let beat = tokio::spawn(beaten.beat("blocked"));
                tokio::task::yield_now().await;
                // As a worker that waits for a lock.
                let _ = blocked.recv();
                beat.abort();
            });
        });
        let found = async {
            while liveness.stuck(Duration::from_millis(1)).is_none() {
                tokio::task::yield_now().await;
            }
        };
        found.await;
        assert_eq!(liveness.stuck(Duration::from_millis(1)), Some("blocked"));
        assert_eq!(liveness.stuck(Duration::from_secs(3600)), None);
        drop(unblock);
        thread.join().unwrap();
        assert_eq!(liveness.stuck(Duration::ZERO), None);
    }
}
