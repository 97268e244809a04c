//! A server in this process, and the built program as its client.

use std::io::Write as _;
use std::process::Stdio;

use muster::clock::Clock;
use muster::config::Config;
use muster::{Lifecycle, Running, serve};

use crate::fleetctl::{Fleetctl, Run};

pub const SETUP: [&str; 7] =
    ["setup", "--email", "admin@example.com", "--password", "only-for-tests-1!", "--org-name", "Tests"];

/// A server and a client whose context points to it.
pub struct Console {
    pub fleetctl: Fleetctl,
    pub url: String,
    pub running: Running,
    pub lifecycle: Lifecycle,
}

impl Console {
    /// A server without an administrator.
    pub async fn new() -> Self {
        Self::with(Clock::system(), |_| {}).await
    }

    /// As [`Console::new`], by another clock and with other settings.
    pub async fn with(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let fleetctl = Fleetctl::new();
        let folder = fleetctl.path().join("server");
        let mut config = Config::default();
        config.server.address = "127.0.0.1:0".to_owned();
        config.server.tls_dir = folder.join("tls");
        config.server.workers = 1;
        config.sqlite.path = folder.join("muster.db");
        config.filesystem.result_log_file = folder.join("results");
        config.filesystem.status_log_file = folder.join("statuses");
        let lifecycle = Lifecycle::default();
        change(&mut config);
        let running = serve(config, clock, lifecycle.clone()).await.unwrap();
        let url = format!("https://127.0.0.1:{}", running.address().port());
        let console = Self { fleetctl, url, running, lifecycle };
        console.good(&["config", "set", "--address", &console.url, "--rootca", "server/tls/server.crt"]);
        console
    }

    /// A server that is set up and a client that is logged in.
    pub async fn set_up() -> Self {
        let console = Self::new().await;
        console.good(&SETUP);
        console
    }

    /// Runs a command that must succeed; returns its standard output.
    pub fn good(&self, args: &[&str]) -> String {
        let run = self.fleetctl.run(args);
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
        run.stdout
    }

    /// Runs a command that must fail.
    pub fn bad(&self, args: &[&str]) -> Run {
        let run = self.fleetctl.run(args);
        assert_eq!(run.code, Some(1), "{args:?}: {run:?}");
        run
    }

    /// Applies documents from standard input.
    pub fn apply(&self, documents: &str) -> Run {
        let mut command = self.fleetctl.command(&["apply", "-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(documents.as_bytes()).unwrap();
        Run::from(child.wait_with_output().unwrap())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.lifecycle.abort();
    }
}
