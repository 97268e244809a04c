use std::sync::Arc;

use tokio::sync::Notify;

/// Rings once a change is committed, so that other servers need not wait for their next look. It carries nothing, and a
/// ring that is lost costs seconds: everybody reads from the database what has changed. Clones are one bell.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Ends>);

#[derive(Debug, Default)]
struct Ends {
    rung: Notify,
    heard: Notify,
}

impl Bell {
    /// A change was made here. Several at one time ring once.
    pub fn ring(&self) {
        self.0.rung.notify_one();
    }

    /// Waits until a change was made here: for whatever carries the ring to other servers.
    pub async fn rung(&self) {
        self.0.rung.notified().await;
    }

    /// Another server has rung, or may have while nobody listened.
    pub fn hear(&self) {
        self.0.heard.notify_one();
    }

    /// Waits until another server has rung.
    pub async fn heard(&self) {
        self.0.heard.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_is_kept_for_who_comes_late_and_several_are_one() {
        let (here, there) = (Bell::default(), Bell::default());
        here.ring();
        here.ring();
        here.rung().await;
        there.hear();
        there.clone().heard().await;
        let again = tokio::time::timeout(std::time::Duration::ZERO, here.rung()).await;
        assert!(again.is_err(), "two rings at one time are one");
    }
}
