use tokio::sync::watch;

use crate::commands::stop_signal::StopSignal;

/// What a program that Ctrl-C ended exits with.
const INTERRUPTED: i32 = 130;

/// Whether somebody pressed Ctrl-C. The second time ends the program at once, whatever it is waiting for.
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

    /// Returns when somebody wants to stop, or has wanted to before.
    pub async fn requested(&mut self) {
        if self.seen.wait_for(|seen| *seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
