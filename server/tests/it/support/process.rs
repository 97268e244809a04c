use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_compat::transport::Trust;
use tempfile::TempDir;

use super::clock_off::clock_off;
use super::{Address, eventually, eventually_ok, mariadb, on_mariadb, on_redis};

/// A flag that servers of older versions do not have.
const UNKNOWN_TO_OLDER: &str = "--carves_dir=";

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);

/// Files and settings of a server that is a process of its own. They stay when the process ends.
pub struct ServerSetup {
    /// The server of this build, unless another one is set.
    program: PathBuf,
    folder: TempDir,
    port: u16,
    flags: Vec<String>,
    /// The certificate of whom agents trust, if it is not the server's own.
    authority: Option<PathBuf>,
    survives_full_disks: bool,
    /// What sets the server's clock off.
    clock_off: Option<PathBuf>,
}

impl ServerSetup {
    /// A folder and a free port, with these settings as flags besides (`section_key=value`).
    pub fn new(flags: &[&str]) -> Self {
        let mut setup = Self::on_sqlite(flags);
        if mariadb::is_chosen() {
            let mut config = muster::config::Config::default();
            on_mariadb(&mut config, mariadb::shared());
            on_redis(&mut config.redis);
            let (mysql, redis) = (config.mysql, config.redis);
            setup.flags.extend([
                format!("--mysql_address={}", mysql.address),
                format!("--mysql_username={}", mysql.username),
                format!("--mysql_password={}", mysql.password.reveal()),
                format!("--mysql_database={}", mysql.database),
                format!("--mysql_max_open_conns={}", mysql.max_open_conns),
                format!("--redis_address={}", redis.address[0]),
                format!("--redis_database={}", redis.database),
            ]);
        }
        setup
    }

    /// As [`ServerSetup::new`], on SQLite in any case.
    pub fn on_sqlite(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut all = vec![
            format!("--server_address=127.0.0.1:{port}"),
            format!("--server_tls_dir={}", path("tls")),
            "--server_workers=2".to_owned(),
            "--server_shutdown_timeout=5s".to_owned(),
            format!("--sqlite_path={}", path("muster.db")),
            format!("--carves_dir={}", path("carves")),
            format!("--filesystem_result_log_file={}", path("logs/results")),
            format!("--filesystem_status_log_file={}", path("logs/statuses")),
        ];
        for flag in flags {
            let (name, _) = flag.split_once('=').unwrap();
            all.retain(|other| !other.starts_with(&format!("--{name}=")));
            all.push(format!("--{flag}"));
        }
        Self {
            program: env!("CARGO_BIN_EXE_muster").into(),
            folder,
            port,
            flags: all,
            authority: None,
            survives_full_disks: false,
            clock_off: None,
        }
    }

    /// From now on, starts another program: a server of another version, or the one of this build (`None`).
    pub fn run_by(&mut self, program: Option<&Path>) {
        self.program = program.map_or_else(|| env!("CARGO_BIN_EXE_muster").into(), Path::to_owned);
    }

    /// Lets agents trust whoever has a certificate of this authority.
    pub fn trust(&mut self, authority: PathBuf) {
        self.authority = Some(authority);
    }

    /// From the next start on, writes beyond a limit fail, once there is one, instead of ending the server by a signal.
    pub fn survive_full_disks(&mut self) {
        self.survives_full_disks = true;
    }

    /// Sets the server's wall clock off by so many seconds from its next start on, or right again.
    pub fn set_clock_off(&mut self, seconds: Option<i64>) {
        self.clock_off = seconds.map(clock_off);
    }

    /// Makes or migrates the tables of MySQL.
    pub fn prepare(&self) {
        let mut command = Command::new(&self.program);
        let flags = self.flags.iter().filter(|flag| flag.starts_with("--mysql_"));
        let output = command.args(["prepare", "db", "--no-prompt"]).args(flags).env_clear().output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The same server at another port of this machine, which a setting names.
    pub fn address_at(&self, port: u16) -> Address {
        let (address, own) = (self.address(), format!(":{}", self.port));
        Address { url: address.url.replace(&own, &format!(":{port}")), ..address }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn results(&self) -> PathBuf {
        self.folder().join("logs/results")
    }

    pub fn statuses(&self) -> PathBuf {
        self.folder().join("logs/statuses")
    }

    /// Where agents find it once it has been started.
    pub fn address(&self) -> Address {
        if self.flags.iter().any(|flag| flag == "--server_tls=false") {
            Address { url: format!("http://127.0.0.1:{}", self.port), trust: Trust::Anyone }
        } else {
            let authority = self.authority.clone();
            let trust = Trust::CaFile(authority.unwrap_or_else(|| self.folder().join("tls/server.crt")));
            Address { url: format!("https://127.0.0.1:{}", self.port), trust }
        }
    }

    /// Program and arguments of the server.
    pub fn words(&self) -> Vec<String> {
        let program = self.program.display().to_string();
        let is_of_this_build = self.program == Path::new(env!("CARGO_BIN_EXE_muster"));
        let flags = self.flags.iter().filter(|flag| is_of_this_build || !flag.starts_with(UNKNOWN_TO_OLDER)).cloned();
        let mut words = Vec::new();
        if self.survives_full_disks {
            words.extend(["/bin/bash", "-c", "trap '' XFSZ; exec \"$@\"", "bash"].map(str::to_owned));
        }
        if let Some(library) = &self.clock_off {
            words.extend(["/usr/bin/env".to_owned(), format!("LD_PRELOAD={}", library.display())]);
        }
        words.extend([program, "serve".to_owned(), "--until-stdin-closes".to_owned()]);
        words.extend(flags);
        words
    }

    /// The server as a command that has not been run.
    pub fn command(&self) -> Command {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().current_dir(self.folder());
        command
    }

    pub async fn start(&self) -> ServerProcess {
        self.start_by(self.command()).await
    }

    /// Runs a command that becomes the server, and waits until it listens.
    pub async fn start_by(&self, mut command: Command) -> ServerProcess {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (stderr, book) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                book.lock().unwrap_or_else(PoisonError::into_inner).push_str(&(line + "\n"));
            }
        });
        let mut process = ServerProcess { child, stdin: Some(stdin), said };
        let listens = eventually_ok(START, async || {
            let has_ended = process.child.try_wait().unwrap();
            let said = process.said();
            assert!(has_ended.is_none(), "the server ended at its start: {said}");
            if said.contains(" listening ") { Ok(()) } else { Err(said) }
        });
        if let Err(said) = listens.await {
            panic!("the server does not listen within {START:?}: {said}");
        }
        process
    }
}

/// A running server. Killed when it goes out of scope.
pub struct ServerProcess {
    child: Child,
    /// The server stops when this closes, as it does when the test's own process ends.
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
}

impl ServerProcess {
    /// What it wrote to stderr so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap().success());
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Ends it as a power loss would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually("the server ends", within, async || self.child.try_wait().unwrap()).await
    }

    /// The most memory it ever had resident, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that stays free while nobody listens on it: below those the system gives to outgoing connections.
pub fn free_port() -> u16 {
    let mut candidates = std::iter::repeat_with(|| rand::random_range(20_000..32_000));
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
