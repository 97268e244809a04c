use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{ServerSetup, eventually};

/// What a service manager is told by a process it has started.
struct Messages(Arc<Mutex<Vec<String>>>);

impl Messages {
    /// Listens at a socket until the test ends.
    fn at(socket: UnixDatagram) -> Self {
        let all = Arc::<Mutex<Vec<String>>>::default();
        let book = Arc::clone(&all);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                book.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        });
        Self(all)
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn until(&self, assignment: &str) {
        let has_come = async || self.all().iter().any(|said| said.lines().any(|line| line == assignment)).then_some(());
        eventually(assignment, Duration::from_secs(20), has_come).await;
    }
}

#[tokio::test]
async fn systemd_learns_that_the_server_is_ready_lives_reloads_and_stops() {
    let setup = ServerSetup::new(&[]);
    let path = setup.folder().join("notify");
    let name = format!("muster-test-{}", rand::random::<u64>());
    let sockets = [
        (path.display().to_string(), UnixDatagram::bind(&path).unwrap()),
        (format!("@{name}"), UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap()),
    ];
    for (name, socket) in sockets {
        let messages = Messages::at(socket);
        let mut command = setup.command();
        command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "9000000");
        let mut server = setup.start_by(command).await;
        messages.until("READY=1").await;
        assert!(messages.all()[0].contains("READY=1"), "{:?}", messages.all());
        messages.until(&format!("STATUS=serving at 127.0.0.1:{}", setup.port())).await;
        messages.until("WATCHDOG=1").await;
        assert!(!messages.all().iter().any(|said| said.contains("STOPPING")), "{:?}", messages.all());
        server.signal("HUP");
        messages.until("RELOADING=1").await;
        let ready_again =
            async || (messages.all().iter().filter(|said| said.contains("READY=1")).count() == 2).then_some(());
        eventually("it is ready again", Duration::from_secs(20), ready_again).await;
        server.signal("TERM");
        messages.until("STOPPING=1").await;
        assert_eq!(server.ended(Duration::from_secs(8)).await.code(), Some(0), "{}", server.said());
    }
}

/// A process that another one has started is not watched, and one whose manager is gone serves all the same.
#[tokio::test]
async fn who_is_not_watched_says_nothing_of_it() {
    let setup = ServerSetup::new(&[]);
    let path = setup.folder().join("notify");
    let messages = Messages::at(UnixDatagram::bind(&path).unwrap());
    let mut command = setup.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "30000").env("WATCHDOG_PID", "1");
    let mut server = setup.start_by(command).await;
    messages.until("READY=1").await;
    std::fs::remove_file(&path).unwrap();
    server.signal("TERM");
    assert_eq!(server.ended(Duration::from_secs(8)).await.code(), Some(0), "{}", server.said());
    assert!(!messages.all().iter().any(|said| said.contains("WATCHDOG")), "{:?}", messages.all());
}
