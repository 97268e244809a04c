use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::dir::{PreviewDir, shown};
use crate::commands::stop_signal::StopSignal;
use crate::output::{self, printable};

/// How long the server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Lines of the log shown when the server ends early.
const TAIL_LINES: usize = 20;

/// The server as a child process that ends when this process ends, even if it is killed.
pub struct ServerProcess {
    child: Child,
    /// The server stops when this pipe closes.
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl ServerProcess {
    pub fn start(muster: &Path, dir: &PreviewDir, port: u16) -> anyhow::Result<Self> {
        let log = dir.server_log();
        let out = File::create(&log).with_context(|| format!("cannot write {}", shown(&log)))?;
        let err = out.try_clone().context("cannot share the server's log")?;
        let mut child = Command::new(muster)
            .arg("serve")
            .arg(format!("--server_address=127.0.0.1:{port}"))
            // One address serves all here, whatever the environment says of the operators'.
            .arg("--server_operator_address=")
            .args(flag("--sqlite_path", &dir.database()))
            .args(flag("--server_tls_dir", &dir.tls()))
            .args(flag("--filesystem_result_log_file", &dir.results()))
            .args(flag("--filesystem_status_log_file", &dir.statuses()))
            // So that a newcomer sees what queries cost within two minutes.
            .arg("--statistics_interval=20s")
            .arg("--statistics_write_interval=5s")
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            // Ctrl-C must reach only this process, which then stops the server.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", shown(muster)))?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, log })
    }

    /// Returns when the server ends by itself, with the end of its log.
    pub async fn exited(&mut self) -> anyhow::Error {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let log = fs::read(&self.log).unwrap_or_default();
        let text = printable(&String::from_utf8_lossy(&log));
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        anyhow!("the server stopped unexpectedly ({how}); last lines of {}:\n  {tail}", shown(&self.log))
    }

    /// Stops the server gracefully; kills it after a timeout or another signal.
    pub async fn stop(mut self, again: &mut StopSignal) -> anyhow::Result<()> {
        drop(self.stdin.take());
        tokio::select! {
            ended = timeout(STOP_TIMEOUT, self.child.wait()) => {
                if let Ok(ended) = ended {
                    ended.context("cannot wait for the server")?;
                    return Ok(());
                }
            }
            () = again.requested() => output::note("Stopping immediately"),
        }
        self.child.kill().await.context("cannot stop the server")?;
        bail!("the server did not stop in time and was killed; see {}", shown(&self.log))
    }
}

fn flag(name: &str, path: &Path) -> [std::ffi::OsString; 2] {
    [name.into(), path.into()]
}
