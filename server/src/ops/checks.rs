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

/// The latest outcome of each check. Those who ask at one time share a check, and none costs more than one a second.
#[derive(Debug)]
pub(super) struct Checks {
    health: Arc<dyn Health>,
    latest: Vec<Mutex<Option<(Instant, bool)>>>,
}

impl Checks {
    pub(super) fn new(health: Arc<dyn Health>) -> Self {
        let latest = health.parts().iter().map(|_| Mutex::default()).collect();
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
        let mut latest = latest.lock().await;
        let works = match *latest {
            Some((at, works)) if at.elapsed() < FRESH_FOR => works,
            _ => {
                let outcome = self.health.check(part).await;
                if let Err(reason) = &outcome {
                    tracing::warn!(part = part.name, reason, "a part that is needed does not work");
                }
                *latest = Some((Instant::now(), outcome.is_ok()));
                outcome.is_ok()
            }
        };
        if works { Ok(()) } else { Err(format!("the {} does not work; the server's log says why", part.words())) }
    }
}
