use std::sync::Arc;

use tokio::sync::Notify;

/// Is raised once a change is committed, so that other servers need not wait for their next look. It carries nothing, and a
/// signal that is lost costs seconds: everybody reads from the database what has changed. Clones are one signal.
#[derive(Debug, Clone, Default)]
pub struct ChangeSignal(Arc<Ends>);

#[derive(Debug, Default)]
struct Ends {
    raised: Notify,
    heard: Notify,
}

impl ChangeSignal {
    /// A change was made here. Several at one time count once.
    pub fn raise(&self) {
        self.0.raised.notify_one();
    }

    /// Waits until a change was made here: for whatever carries the signal to other servers.
    pub async fn raised(&self) {
        self.0.raised.notified().await;
    }

    /// Another server has raised, or may have while nobody listened.
    pub fn hear(&self) {
        self.0.heard.notify_one();
    }

    /// Waits until another server has raised.
    pub async fn heard(&self) {
        self.0.heard.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_is_kept_for_who_comes_late_and_several_are_one() {
        let (here, there) = (ChangeSignal::default(), ChangeSignal::default());
        here.raise();
        here.raise();
        here.raised().await;
        there.hear();
        there.clone().heard().await;
        let again = tokio::time::timeout(std::time::Duration::ZERO, here.raised()).await;
        assert!(again.is_err(), "two signals at one time are one");
    }
}
