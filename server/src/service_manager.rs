//! What the server says to the service manager that has started it, which is systemd with `Type=notify`: that it is ready, reloads,
//! stops, and lives. Without the variable `NOTIFY_SOCKET` nothing is said.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::lifecycle::Lifecycle;
use crate::liveness::Liveness;
use crate::ops::OpsApi;

/// Longest time for handing over one message.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the server looks at itself within the time after which a silent one is ended.
const LOOKS: u32 = 3;

/// How often a server looks at itself that nobody would end.
const UNWATCHED: Duration = Duration::from_secs(30);

/// The service manager that has started this process.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Time after which it ends a process that says nothing.
    watchdog: Option<Duration>,
}

/// What the state of the server is told from.
#[derive(Debug, Clone)]
pub(crate) struct ServerSigns {
    pub lifecycle: Lifecycle,
    pub liveness: Liveness,
    pub ops: OpsApi,
    /// Where it listens.
    pub address: std::net::SocketAddr,
}

impl ServiceManager {
    /// The one that the variables `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` name, if they do.
    ///
    /// # Errors
    /// When the socket they name cannot be used.
    pub fn of_environment() -> io::Result<Option<Self>> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(None) };
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_watched = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_watched && *micros > 0).map(Duration::from_micros);
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Some(Self { socket, address: socket_address(&name)?, watchdog }))
    }

    /// Sends assignments, one a line. What cannot be sent is left out; the service manager then acts as if the server were silent.
    fn notify(&self, assignments: &str) {
        if let Err(error) = self.socket.send_to_addr(assignments.as_bytes(), &self.address) {
            tracing::warn!(%error, "cannot reach the service manager at NOTIFY_SOCKET");
        }
    }

    /// Says how the server is until the future is dropped.
    pub(crate) async fn follow(self, signs: ServerSigns) {
        let serving = format!("serving at {}", signs.address);
        self.notify(&format!("READY=1\nSTATUS={serving}"));
        let every = self.watchdog.map_or(UNWATCHED, |watchdog| watchdog / LOOKS).max(Duration::from_millis(1));
        let mut looks = interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reloading = signs.lifecycle.reloading();
        let (mut is_stopping, mut said) = (false, serving.clone());
        loop {
            tokio::select! {
                () = signs.lifecycle.asked_to_stop(), if !is_stopping => {
                    is_stopping = true;
                    self.notify("STOPPING=1\nSTATUS=stopping: finishes requests and writes what is in memory");
                }
                Ok(()) = reloading.changed(), if !is_stopping => {
                    // A reload that was quick is seen only once it has ended.
                    self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_micros()));
                    if !*reloading.borrow_and_update() {
                        self.notify("READY=1");
                    }
                }
                _ = looks.tick() => {
                    // The time that a stop takes is bounded by server.shutdown_timeout and by the service manager.
                    let failing = if is_stopping { None } else { signs.failing(every).await };
                    let status = failing.map_or_else(|| serving.clone(), |part| format!("needs a restart: {part}"));
                    let is_well = is_stopping || status == serving;
                    if status != said && !is_stopping {
                        self.notify(&format!("STATUS={status}"));
                        tracing::error!(status, "the state of the server has changed");
                        said = status;
                    }
                    if self.watchdog.is_some() && is_well {
                        self.notify("WATCHDOG=1");
                    }
                }
            }
        }
    }
}

impl ServerSigns {
    /// What does not work and works again only after a restart: a thread that is stuck, or a part that `GET /healthz` names.
    async fn failing(&self, patience: Duration) -> Option<String> {
        // Twice as long, because long work of a moment is no reason to restart; and beats come once a second at most.
        if let Some(thread) = self.liveness.stuck((patience * 2).max(Duration::from_secs(2))) {
            return Some(format!("the thread {thread} is stuck"));
        }
        match timeout(patience, self.ops.check_lasting()).await {
            Ok(outcome) => outcome.err(),
            Err(_) => Some("the health checks do not answer".to_owned()),
        }
    }
}

/// The address of a socket: a path, or with `@` a name that is in no folder, as Linux has them.
fn socket_address(name: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(Path::new(OsStr::from_bytes(name.as_bytes())))
}

fn monotonic_micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;

    use super::*;
    use crate::config::PrometheusBasicAuth;
    use crate::ops::{Health, HealthPart};
    use crate::telemetry::Metrics;

    /// A database, and a log file that works again only after a restart; one of them does not work.
    #[derive(Debug)]
    struct FailingPart(&'static str);

    impl Health for FailingPart {
        fn parts(&self) -> &[HealthPart] {
            &[
                HealthPart { name: "database", aliases: &[], needs_restart: false },
                HealthPart { name: "result_log", aliases: &[], needs_restart: true },
            ]
        }

        fn check(&self, part: &HealthPart) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
            let works = part.name != self.0;
            Box::pin(async move { if works { Ok(()) } else { Err("broken".to_owned()) } })
        }
    }

    #[tokio::test]
    async fn a_server_that_only_a_restart_mends_is_not_said_to_live() {
        for (broken, last) in [("database", "WATCHDOG=1"), ("result_log", "STATUS=needs a restart: the result log")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
            let watched = ServiceManager {
                socket: UnixDatagram::unbound().unwrap(),
                address: socket_address(path.as_os_str()).unwrap(),
                watchdog: Some(Duration::from_millis(30)),
            };
            let (metrics, health) = (Arc::new(Metrics::new().unwrap()), Arc::new(FailingPart(broken)));
            let lifecycle = Lifecycle::default();
            let ops = OpsApi::new(metrics, health, lifecycle.clone(), &PrometheusBasicAuth::default()).unwrap();
            let address = "127.0.0.1:8080".parse().unwrap();
            let liveness = Liveness::default();
            let follow = tokio::spawn(watched.follow(ServerSigns { lifecycle, liveness, ops, address }));
            let mut said = Vec::new();
            let mut buffer = [0; 1024];
            while !said.iter().any(|message: &String| message.starts_with(last)) {
                let length = manager.recv(&mut buffer).await.unwrap();
                said.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            follow.abort();
            assert_eq!(said[0], "READY=1\nSTATUS=serving at 127.0.0.1:8080");
            let lives = said.iter().any(|message| message == "WATCHDOG=1");
            assert_eq!(lives, broken == "database", "{said:?}");
        }
    }
}
