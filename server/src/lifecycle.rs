//! Start, drain, stop: who may end the process and how.
//!
//! When asked to stop, a server reports that it is not ready and goes on for `server.drain`, so that load balancers
//! notice. Then it accepts no new connections and finishes pending requests. Those not finished shortly before
//! `server.shutdown_timeout` are refused with a body, since agents take an answer without one for success. What is only
//! in memory is written last.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Tells everything that runs when to stop. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    asked: CancellationToken,
    close: CancellationToken,
    hurry: CancellationToken,
    end: CancellationToken,
    abort: CancellationToken,
    reload: Arc<tokio::sync::Notify>,
    reloading: Arc<watch::Sender<bool>>,
}

impl Lifecycle {
    /// Asks for a graceful stop.
    pub fn stop(&self) {
        self.asked.cancel();
    }

    /// Ends at once.
    pub fn abort(&self) {
        for token in [&self.asked, &self.close, &self.hurry, &self.end, &self.abort] {
            token.cancel();
        }
    }

    /// Whether the server is to stop and should get no new requests.
    pub fn is_stopping(&self) -> bool {
        self.asked.is_cancelled()
    }

    pub(crate) async fn asked_to_stop(&self) {
        self.asked.cancelled().await;
    }

    /// Ends the drain: no new connections are accepted.
    pub(crate) fn close(&self) {
        self.close.cancel();
    }

    /// Refuses pending requests from now on.
    pub(crate) fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Waits until pending requests are to be refused.
    pub(crate) async fn hurried(&self) {
        self.hurry.cancelled().await;
    }

    /// Ends the periodic tasks, once no requests are pending.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// Waits until the periodic tasks are to end.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Asks for the log files to be opened and the certificate and the table guard to be read again.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Waits until no new connections are accepted and long requests are to end.
    pub async fn stopped(&self) {
        self.close.cancelled().await;
    }

    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }

    pub(crate) async fn reload_asked(&self) {
        self.reload.notified().await;
    }

    /// Says whether the server is reading its files again.
    pub(crate) fn set_reloading(&self, is_reloading: bool) {
        self.reloading.send_replace(is_reloading);
    }

    /// Follows whether the server is reading its files again.
    pub(crate) fn reloading(&self) -> watch::Receiver<bool> {
        self.reloading.subscribe()
    }

    /// Follows the signals of the process: INT and TERM stop, a second one aborts, HUP reloads the log files,
    /// the certificate and the table guard.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub fn follow_signals(&self) -> std::io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let lifecycle = self.clone();
        tokio::spawn(async move {
            let mut is_stopping = false;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {
                        lifecycle.reload();
                        continue;
                    }
                }
                if is_stopping {
                    tracing::warn!("stopping at once");
                    lifecycle.abort();
                    return;
                }
                is_stopping = true;
                tracing::info!("stopping; pending requests are finished first");
                lifecycle.stop();
            }
        });
        Ok(())
    }
}
