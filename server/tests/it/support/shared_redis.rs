//! The Redis that the servers of a test process use when the tests run on MariaDB: a throw-away one for all of them, or
//! the one that `TEST_REDIS_URL` names. Each group of servers has a database of its own there, numbered from the URL's.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use muster::config;

use super::redis::{Settings, common_arguments, free_port, new_folder, outside};

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
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < DATABASES, "more servers than databases");
    match outside() {
        Some(settings) => use_outside(config, &settings, number),
        None => {
            config.address = vec![SHARED.get_or_init(start).address.clone()];
            config.database = number;
        }
    }
}

/// Takes an empty database of the Redis that is there already.
fn use_outside(config: &mut config::Redis, settings: &Settings, number: u32) {
    let get = |name: &str| {
        let found = settings.iter().find(|(key, _)| key.strip_prefix("redis_") == Some(name));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    config.address = vec![get("address")];
    config.username = get("username");
    config.password = config::Secret::new(get("password"));
    config.use_tls = get("use_tls") == "true";
    config.database = get("database").parse().unwrap_or(0) + number;
    let url = std::env::var("TEST_REDIS_URL").unwrap_or_default();
    let mut flush = Command::new("redis-cli");
    flush.args(["-u", &url, "-n", &config.database.to_string(), "FLUSHDB"]);
    let said = String::from_utf8_lossy(&flush.output().unwrap().stdout).into_owned();
    assert_eq!(
        said.trim(),
        "OK",
        "TEST_REDIS_URL: each group of servers needs a database, so set `databases {DATABASES}`"
    );
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
