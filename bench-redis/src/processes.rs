//! Throw-away `redis-server` and `redis-sentinel` processes on 127.0.0.1, which end with the value that holds them.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// How long a process may take until it says what is expected of it.
const START: Duration = Duration::from_secs(30);

pub struct Process {
    pub port: u16,
    folder: PathBuf,
    child: Child,
}

impl Process {
    pub async fn redis(arguments: &[&str]) -> Result<Self> {
        let (port, folder) = (free_port(), folder()?);
        let port_text = port.to_string();
        let common = ["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"];
        let mut command = Command::new("redis-server");
        command.args(common).arg(&folder).args(arguments);
        Self::run(command, port, folder).await
    }

    pub async fn sentinel(master: u16) -> Result<Self> {
        let (port, folder) = (free_port(), folder()?);
        let file = folder.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor mymaster 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n",
            folder.display()
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new("redis-sentinel");
        command.arg(file);
        Self::run(command, port, folder).await
    }

    async fn run(mut command: Command, port: u16, folder: PathBuf) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("cannot run redis-server or redis-sentinel")?;
        let process = Self { port, folder, child };
        process.until("PONG", &["ping"]).await?;
        Ok(process)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The output of `redis-cli`; empty when it gets no answer.
    pub fn ask(&self, question: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(question).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub async fn until(&self, text: &str, question: &[&str]) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let answer = self.ask(question)?;
            if answer.contains(text) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{question:?}: {text:?} is not in {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // A folder that cannot be removed lies in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that is free, as is the one 10,000 above it, which nodes of a cluster use among themselves.
fn free_port() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = u16::try_from(std::process::id() % 5000).unwrap_or(0);
    loop {
        let port = 12_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 8000;
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

fn folder() -> Result<PathBuf> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("muster-bench-redis.{}.{number}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
