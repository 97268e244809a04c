use tokio::sync::watch;

use crate::commands::stop_signal::StopSignal;

/// Exit code after Ctrl-C, as in shells.
const INTERRUPTED: i32 = 130;

/// Reports Ctrl-C. A second one ends the process immediately.
pub struct Interrupts {
    seen: watch::Receiver<bool>,
}

impl Interrupts {
    pub fn listen() -> anyhow::Result<Self> {
        let mut signals = StopSignal::listen()?;
        let (sender, seen) = watch::channel(false);
        tokio::spawn(async move {
            signals.requested().await;
            sender.send_replace(true);
            signals.requested().await;
            std::process::exit(INTERRUPTED);
        });
        Ok(Self { seen })
    }

    /// Returns once Ctrl-C was pressed, at any time before or after the call.
    pub async fn requested(&mut self) {
        if self.seen.wait_for(|seen| *seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
