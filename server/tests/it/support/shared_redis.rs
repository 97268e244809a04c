//! The Redis that the servers of a test process use when the tests run on MariaDB: a throw-away one for all of them, in
//! which each group of servers has a database of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use muster::config;

use super::redis::{common_arguments, free_port, new_folder};

/// How long it may take to start on a busy machine.
const START: Duration = Duration::from_secs(30);

/// Groups of servers there can be in one test process.
const DATABASES: u32 = 4096;

/// Runs it until standard input closes, however the one who holds it ends; then removes the folder.
const KEEPER: &str = r#"trap '' INT TERM HUP
folder=$1; shift
cd "$folder"
"$@" & server=$!
echo $server > "$folder/pid"
cat > /dev/null
kill -9 $server; wait $server
rm -rf "$folder""#;

struct Shared {
    address: String,
    _keeper: Child,
}

/// Points a server, and those that share its settings, to a Redis nobody else uses.
pub fn on_redis(config: &mut config::Redis) {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    config.address = vec![SHARED.get_or_init(start).address.clone()];
    config.database = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(config.database < DATABASES, "more servers than databases");
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, outside of any runtime")]
fn start() -> Shared {
    let (folder, port) = (new_folder(), free_port());
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(&folder).arg("redis-server").args(common_arguments(&folder));
    command.args(["--port", &port.to_string(), "--databases", &DATABASES.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let keeper = command.spawn().unwrap();
    let address = format!("127.0.0.1:{port}");
    let deadline = Instant::now() + START;
    while !answers(&address) {
        assert!(Instant::now() < deadline, "redis-server does not start: `scripts/install-test-services` installs it");
        std::thread::sleep(Duration::from_millis(20));
    }
    Shared { address, _keeper: keeper }
}

fn answers(address: &str) -> bool {
    let mut answer = [0; 5];
    TcpStream::connect(address)
        .and_then(|mut stream| {
            stream.write_all(b"PING\r\n")?;
            stream.read_exact(&mut answer)
        })
        .is_ok_and(|()| answer == *b"+PONG")
}

/// Whether a test is left out because servers share a Redis in this run; says so.
pub fn skipped_with_redis(why: &str) -> bool {
    let is_skipped = super::mariadb::is_chosen();
    if is_skipped {
        eprintln!("skipped on MariaDB and Redis: {why}");
    }
    is_skipped
}
