//! Start, drain, stop: who may end the process and how.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Handed to everything that runs: tells when to stop. Clones share one fate.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    abort: CancellationToken,
    reopen_logs: std::sync::Arc<tokio::sync::Notify>,
}

impl Lifecycle {
    /// Asks for a graceful stop: requests under way are finished, new ones refused.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends at once.
    pub fn abort(&self) {
        self.stop.cancel();
        self.abort.cancel();
    }

    /// Asks for the log files to be opened anew.
    pub fn reopen_logs(&self) {
        self.reopen_logs.notify_one();
    }

    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }

    pub(crate) async fn reopen_asked(&self) {
        self.reopen_logs.notified().await;
    }

    /// Follows the signals of the process: INT and TERM stop, a second one aborts, HUP opens the log files anew.
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
                        lifecycle.reopen_logs();
                        continue;
                    }
                }
                if is_stopping {
                    tracing::warn!("stopping at once");
                    lifecycle.abort();
                    return;
                }
                is_stopping = true;
                tracing::info!("stopping; requests under way are finished first");
                lifecycle.stop();
            }
        });
        Ok(())
    }
}
