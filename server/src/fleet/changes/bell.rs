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
    #[expect(dead_code, reason = "the bus carries it")]
    pub async fn rung(&self) {
        self.0.rung.notified().await;
    }

    /// Another server has rung, or may have while nobody listened.
    #[expect(dead_code, reason = "the bus calls it")]
    pub fn hear(&self) {
        self.0.heard.notify_one();
    }

    /// Waits until another server has rung.
    pub async fn heard(&self) {
        self.0.heard.notified().await;
    }
}
