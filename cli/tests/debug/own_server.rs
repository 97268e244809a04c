//! The server's program as a process of its own: a process has one CPU profile at a time, and one allocator.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::console::SETUP;
use crate::fleetctl::{Fleetctl, Run};

/// A server on SQLite, and a client that is logged in as its admin.
pub struct OwnServer {
    pub fleetctl: Fleetctl,
    pub url: String,
    /// The server stops when its standard input closes.
    child: Child,
}

impl OwnServer {
    pub fn start() -> Self {
        let fleetctl = Fleetctl::new();
        let program = Path::new(env!("CARGO_BIN_EXE_fleetctl")).with_file_name("examples").join("muster");
        assert!(
            program.exists(),
            "build it first, which `cargo test` does unless told what: cargo build -p fleetctl --examples"
        );
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = |name: &str| fleetctl.path().join("server").join(name).display().to_string();
        let mut child = Command::new(program)
            .args(["serve", "--until-stdin-closes", "--server_workers=2"])
            .arg(format!("--server_address=127.0.0.1:{port}"))
            .arg(format!("--server_tls_dir={}", path("tls")))
            .arg(format!("--sqlite_path={}", path("muster.db")))
            .arg(format!("--filesystem_result_log_file={}", path("results")))
            .arg(format!("--filesystem_status_log_file={}", path("statuses")))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(" listening ")), "the server ended at its start");
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { fleetctl, url: format!("https://127.0.0.1:{port}"), child };
        server.good(&["config", "set", "--address", &server.url, "--rootca", "server/tls/server.crt"]);
        server.good(&SETUP);
        server
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
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
