//! Start, drain, stop: who may end the process and how.
//!
//! Asked to stop, a server says that it is not ready and goes on for `server.drain`, so that load balancers notice. Then
//! it takes no new connections and finishes what is under way; what is not finished shortly before
//! `server.shutdown_timeout` is refused in words, since agents take an answer without a body for success. What is only in
//! memory is written last.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Handed to everything that runs: tells when to stop. Clones share one fate.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    asked: CancellationToken,
    close: CancellationToken,
    hurry: CancellationToken,
    end: CancellationToken,
    abort: CancellationToken,
    reopen_logs: std::sync::Arc<tokio::sync::Notify>,
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

    /// Whether it is to stop: nothing new should be sent to this server.
    pub fn is_stopping(&self) -> bool {
        self.asked.is_cancelled()
    }

    pub(crate) async fn asked_to_stop(&self) {
        self.asked.cancelled().await;
    }

    /// Load balancers have had their time.
    pub(crate) fn close(&self) {
        self.close.cancel();
    }

    /// Time is up for requests under way.
    pub(crate) fn hurry(&self) {
        self.hurry.cancel();
    }

    /// Refuse what is not finished.
    pub(crate) async fn hurried(&self) {
        self.hurry.cancelled().await;
    }

    /// No requests are under way any more.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// Periodic work ends.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Asks for the log files to be opened anew.
    pub fn reopen_logs(&self) {
        self.reopen_logs.notify_one();
    }

    /// No new connections are taken, and what goes on for long ends.
    pub async fn stopped(&self) {
        self.close.cancelled().await;
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
