use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// How long the outcome of a check is told again.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// Whether the parts the server needs work.
pub trait Health: std::fmt::Debug + Send + Sync {
    /// What can be checked.
    fn parts(&self) -> &[HealthPart];
    /// Says what is wrong with one of them.
    fn check(&self, part: &HealthPart) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// A part that can be checked.
#[derive(Debug, Clone, Copy)]
pub struct HealthPart {
    pub name: &'static str,
    /// What Fleet calls it.
    pub aliases: &'static [&'static str],
    /// Once it does not work, it works again only after a restart.
    pub needs_restart: bool,
}

impl HealthPart {
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    fn words(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// When a check was made, and whether the part worked.
type Outcome = (Instant, bool);

/// The latest outcome of each check. Those who ask at one time share a check, which goes on when they go away, and none
/// costs more than one a second.
#[derive(Debug)]
pub(super) struct Checks {
    health: Arc<dyn Health>,
    latest: Vec<Arc<Mutex<Option<Outcome>>>>,
}

impl Checks {
    pub(super) fn new(health: Arc<dyn Health>) -> Self {
        let latest = health.parts().iter().map(|_| Arc::default()).collect();
        Self { health, latest }
    }

    pub(super) fn parts(&self) -> &[HealthPart] {
        self.health.parts()
    }

    /// # Errors
    /// That the part does not work. Why stands in the log: those who ask may be anybody.
    pub(super) async fn check(&self, part: &HealthPart) -> Result<(), String> {
        let position = self.parts().iter().position(|known| known.name == part.name);
        let Some(latest) = position.and_then(|position| self.latest.get(position)) else { return Ok(()) };
        let fresh = latest.try_lock().ok().and_then(|latest| fresh(*latest));
        let works = match fresh {
            Some(works) => works,
            // A task of its own: whoever asks may go away before the outcome is there for others.
            None => tokio::spawn(made(Arc::clone(&self.health), *part, Arc::clone(latest))).await.unwrap_or(false),
        };
        if works { Ok(()) } else { Err(format!("the {} does not work; the server's log says why", part.words())) }
    }
}

fn fresh(latest: Option<Outcome>) -> Option<bool> {
    latest.filter(|(at, _)| at.elapsed() < FRESH_FOR).map(|(_, works)| works)
}

/// Checks the part, unless somebody has just done so.
async fn made(health: Arc<dyn Health>, part: HealthPart, latest: Arc<Mutex<Option<Outcome>>>) -> bool {
    let mut latest = latest.lock().await;
    if let Some(works) = fresh(*latest) {
        return works;
    }
    let outcome = health.check(&part).await;
    if let Err(reason) = &outcome {
        tracing::warn!(part = part.name, reason, "a part that is needed does not work");
    }
    *latest = Some((Instant::now(), outcome.is_ok()));
    outcome.is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    const PART: HealthPart = HealthPart { name: "part", aliases: &[], needs_restart: false };

    /// A part whose checks are counted, and end when they are told to.
    #[derive(Debug)]
    struct Gate {
        checks: AtomicUsize,
        begun: Semaphore,
        open: Semaphore,
    }

    impl Health for Gate {
        fn parts(&self) -> &[HealthPart] {
            &[PART]
        }

        fn check(&self, _: &HealthPart) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
            Box::pin(async {
                self.checks.fetch_add(1, Ordering::Relaxed);
                self.begun.add_permits(1);
                self.open.acquire().await.map(drop).map_err(|error| error.to_string())
            })
        }
    }

    /// Load balancers give up before a part that is slow has answered, and ask again.
    #[tokio::test]
    async fn a_check_goes_on_when_those_who_asked_go_away() {
        let gate = Arc::new(Gate { checks: AtomicUsize::new(0), begun: Semaphore::new(0), open: Semaphore::new(0) });
        let checks = Checks::new(Arc::clone(&gate) as Arc<dyn Health>);
        for _ in 0..10 {
            // Polled once, then given up.
            let asked = checks.check(&PART);
            tokio::pin!(asked);
            assert!(futures_util::poll!(asked.as_mut()).is_pending());
        }
        let _ = gate.begun.acquire().await.unwrap();
        let (outcome, ()) = tokio::join!(checks.check(&PART), async { gate.open.add_permits(1) });
        assert_eq!(outcome, Ok(()));
        assert_eq!(gate.checks.load(Ordering::Relaxed), 1);
    }
}
