//! Runs queries in processes of their own and reads from the kernel what these cost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How often the open files of a process are counted while it runs a query.
const COUNTED_EVERY: Duration = Duration::from_millis(5);

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 << 20;

/// How a process is asked whether it is through with what came before.
const END: &str = "muster-end-of-answer";

/// A program that runs osquery's SQL.
pub struct Osqueryi {
    program: PathBuf,
    within: Duration,
}

/// What one run of a query has cost its process.
#[derive(Debug, Clone, Serialize)]
pub struct RunCost {
    /// User and system time, in milliseconds.
    pub cpu_ms: f64,
    pub wall_ms: f64,
    /// The most memory that the process held, in bytes.
    pub memory_bytes: u64,
    /// The most files that it had open.
    pub open_files: usize,
    pub rows: usize,
}

impl Osqueryi {
    /// Finds out whether the program runs.
    pub async fn find(program: &Path, within: Duration) -> anyhow::Result<Self> {
        if !Path::new("/proc/self/schedstat").exists() {
            bail!("profiles need a Linux kernel with /proc: run this on a Linux machine with osquery");
        }
        let found = Self { program: program.to_owned(), within };
        found.run("SELECT 1").await.with_context(|| {
            format!("cannot measure with {}: install osquery, or name its program with --osqueryi", program.display())
        })?;
        Ok(found)
    }

    /// Runs a query in a new process.
    pub async fn run(&self, sql: &str) -> anyhow::Result<RunCost> {
        let mut shell = Shell::start(&self.program)?;
        let outcome = timeout(self.within, shell.measure(sql)).await;
        shell.stop().await;
        outcome.map_err(|_| anyhow::anyhow!("it took longer than {} s", self.within.as_secs()))?
    }

    /// The details of the plan of a query, a line for each step.
    pub async fn plan(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let mut shell = Shell::start(&self.program)?;
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let outcome = timeout(self.within, shell.ask(&sql)).await;
        shell.stop().await;
        let rows = outcome.context("it took too long")??;
        Ok(rows.iter().filter_map(|row| Some(row["detail"].as_str()?.to_owned())).collect())
    }
}

/// A process that runs what is written to it.
struct Shell {
    child: Child,
    pid: u32,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    fn start(program: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        if program.file_name().is_some_and(|name| name == "osqueryd") {
            command.arg("-S");
        }
        let mut child = command
            .args(["--json", "--disable_extensions", "--disable_events", "--config_path=/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id().context("it has ended at once")?;
        let stdin = child.stdin.take().context("it takes no input")?;
        let stdout = BufReader::new(child.stdout.take().context("it gives no output")?);
        Ok(Self { child, pid, stdin, stdout })
    }

    /// Runs a query once the process is ready, and reads what it has cost.
    async fn measure(&mut self, sql: &str) -> anyhow::Result<RunCost> {
        self.ask("SELECT 1").await?;
        let (before, start) = (cpu_ms(self.pid)?, Instant::now());
        let pid = self.pid;
        let mut open_files = open_files(pid);
        let mut counting = tokio::time::interval(COUNTED_EVERY);
        let asked = self.ask(sql);
        tokio::pin!(asked);
        let rows = loop {
            tokio::select! {
                rows = &mut asked => break rows?,
                _ = counting.tick() => open_files = open_files.max(self::open_files(pid)),
            }
        };
        let wall_ms = start.elapsed().as_secs_f64() * 1000.0;
        Ok(RunCost {
            cpu_ms: (cpu_ms(pid)? - before).max(0.0),
            wall_ms,
            memory_bytes: peak_memory(pid)?,
            open_files,
            rows: rows.len(),
        })
    }

    /// Runs SQL and reads its rows.
    async fn ask(&mut self, sql: &str) -> anyhow::Result<Vec<Value>> {
        let sql = sql.trim().trim_end_matches(';').replace('\n', " ");
        let both = format!("{sql};\nSELECT '{END}' AS end;\n");
        self.stdin.write_all(both.as_bytes()).await.context("it has ended early")?;
        let mut answer = String::new();
        loop {
            let read = self.stdout.read_line(&mut answer).await.context("its output cannot be read")?;
            if read == 0 {
                bail!("{}", self.last_words().await);
            }
            if answer.len() > MAX_ANSWER {
                bail!("its answer is larger than {} MiB", MAX_ANSWER >> 20);
            }
            if answer.contains(END) {
                break;
            }
        }
        let mut answers = serde_json::Deserializer::from_str(&answer).into_iter::<Vec<Value>>();
        match answers.next() {
            Some(Ok(rows)) if !rows.first().is_some_and(|row| row["end"] == END) => Ok(rows),
            // Only the end was answered, or a part of it: the query was refused.
            _ => bail!("{}", self.last_words().await),
        }
    }

    /// What the process has said of an error.
    async fn last_words(&mut self) -> String {
        let mut words = Vec::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = timeout(Duration::from_millis(200), stderr.take(4096).read_to_end(&mut words)).await;
        }
        match String::from_utf8_lossy(&words).trim() {
            "" => "the query was refused".to_owned(),
            words => words.lines().next().unwrap_or_default().to_owned(),
        }
    }

    async fn stop(mut self) {
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }
}

/// CPU time that the process has had so far, in milliseconds: the larger one of two figures, because the finer one leaves
/// out threads that have ended.
fn cpu_ms(pid: u32) -> anyhow::Result<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")?;
    let nanos: u64 = threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    // Behind the name, which may hold spaces: the state is the third field, user and system time are the 14th and 15th, in
    // hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok((nanos as f64 / 1e6).max(ticks as f64 * 10.0))
}

/// The most memory that the process has held, in bytes.
fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("the kernel does not tell the memory of the process")? * 1024)
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
