//! The programs that are measured, each a process that ends with the bench, however that ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::process::{Child, Command};

/// Timeout for the start of a program, long enough for a busy machine.
const START: Duration = Duration::from_secs(60);

/// Timeout for the end of a program that was asked to stop.
const STOP: Duration = Duration::from_secs(20);

/// Longest wait for a program to end by itself.
const END: Duration = Duration::from_secs(900);

/// Cores a process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cores {
    All,
    Only(usize),
}

/// A process that runs. Killed when it goes out of scope.
pub struct Process {
    child: Child,
    name: String,
    said: PathBuf,
    pub pid: u32,
}

impl Process {
    /// Starts `words` with its output in `folder`. Its standard input stays open until [`Process::stop`].
    pub fn start(name: &str, words: &[String], cores: Cores, folder: &Path) -> Result<Self> {
        let said = folder.join(format!("{name}.log"));
        let output = File::create(&said).with_context(|| format!("cannot make {}", said.display()))?;
        let pinned = match cores {
            Cores::All => Vec::new(),
            Cores::Only(core) => vec!["taskset".to_owned(), "--cpu-list".to_owned(), core.to_string()],
        };
        let mut all = pinned.iter().chain(words);
        let program = all.next().context("no program")?;
        let child = Command::new(program)
            .args(all)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let pid = child.id().with_context(|| format!("{name} has ended at once"))?;
        Ok(Self { child, name: name.to_owned(), said, pid })
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until it has said a word, and returns what follows up to the next space.
    pub async fn says(&mut self, word: &str) -> Result<String> {
        let deadline = Instant::now() + START;
        loop {
            let said = self.said();
            let line = said.lines().find(|line| line.contains(word) && said.contains('\n'));
            if let Some((_, after)) = line.and_then(|line| line.split_once(word)) {
                return Ok(after.split_whitespace().next().unwrap_or_default().to_owned());
            }
            self.check_running()?;
            if Instant::now() > deadline {
                bail!("{} has not started in time: {said}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow!("{} ended ({status}): {}", self.name, self.said())),
        }
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(END, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} has not ended within {} s", self.name, END.as_secs()))??)
    }

    /// Asks it to stop and waits for it.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.wait_or_kill().await
    }

    /// Sends it the signal with which services are stopped, and waits for it.
    pub async fn terminate(mut self) -> Result<()> {
        let sent = Command::new("kill").args(["-s", "TERM", &self.pid.to_string()]).status().await;
        anyhow::ensure!(sent.context("cannot run kill")?.success(), "{} could not be signalled", self.name);
        self.wait_or_kill().await
    }

    async fn wait_or_kill(&mut self) -> Result<()> {
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}
