//! Throw-away MariaDB servers, and databases on them. `MUSTER_TEST_DB=mariadb` makes the tests use one instead of SQLite,
//! and `TEST_MYSQL_URL` (`mysql://USER:PASSWORD@HOST:PORT`) another server that is there already.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DbErr};

/// How long a server may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Who made what stands in the temporary folder, so that others' leftovers are known.
const PREFIX: &str = "muster-test-mariadb-";

/// Runs a server until standard input closes, however the one who holds it ends; then removes the folder.
const KEEPER: &str = r#"trap '' INT TERM HUP
folder=$1; shift
"$@" & server=$!
cat > /dev/null
kill -9 $server; wait $server
[ -e "$folder/keep" ] || rm -rf "$folder""#;

/// Whether tests use MariaDB.
pub fn is_chosen() -> bool {
    match std::env::var("MUSTER_TEST_DB").as_deref() {
        Ok("mariadb") => true,
        Err(_) | Ok("" | "sqlite") => false,
        Ok(other) => panic!("MUSTER_TEST_DB={other}: expects sqlite or mariadb"),
    }
}

/// Where a server is and who may make databases whose names begin with `muster_test_`.
#[derive(Debug, Clone)]
pub struct DatabaseAddress {
    /// Host and port.
    pub address: String,
    pub username: String,
    pub password: String,
}

impl DatabaseAddress {
    fn of(url: &str) -> Self {
        let rest = url.strip_prefix("mysql://").and_then(|rest| rest.rsplit_once('@'));
        let (user, address) = rest.expect("TEST_MYSQL_URL: expects mysql://USER:PASSWORD@HOST:PORT");
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        let address = address.trim_end_matches('/');
        Self { address: address.to_owned(), username: username.to_owned(), password: password.to_owned() }
    }

    fn url(&self) -> String {
        format!("mysql://{}:{}@{}", self.username, self.password, self.address)
    }

    /// Runs statements outside of any database.
    pub fn execute(&self, sql: &str) -> Result<(), DbErr> {
        blocking(async {
            let mut options = ConnectOptions::new(self.url());
            options.max_connections(1).sqlx_logging(false).connect_timeout(Duration::from_secs(5));
            let db = Database::connect(options).await?;
            db.execute_unprepared(sql).await?;
            db.close().await
        })
    }

    /// Makes an empty database and gives its name.
    pub fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("muster_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("DROP DATABASE IF EXISTS {name}")).unwrap();
        self.execute(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")).unwrap();
        name
    }
}

/// Runs something asynchronous to its end, also when called from within a runtime.
pub fn blocking<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// The server all tests of this process share. It ends with the process.
pub fn shared() -> &'static DatabaseAddress {
    static SHARED: OnceLock<(DatabaseAddress, Option<Mariadb>)> = OnceLock::new();
    let (address, _) = SHARED.get_or_init(|| match std::env::var("TEST_MYSQL_URL") {
        Ok(url) => (DatabaseAddress::of(&url), None),
        Err(_) => {
            sweep();
            let server = Mariadb::start(&[]);
            (server.address(), Some(server))
        }
    });
    address
}

/// Removes what processes left behind whose keepers were killed too.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
        if Path::new("/proc").join(owner).exists() {
            continue;
        }
        let pid = std::fs::read_to_string(entry.path().join("pid")).unwrap_or_default();
        let command = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&name) {
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
        let _ = std::fs::remove_dir_all(entry.path());
    }
}

/// A server of one's own.
pub struct Mariadb {
    folder: tempfile::TempDir,
    port: u16,
    options: Vec<String>,
    keeper: Option<Child>,
}

impl Mariadb {
    /// Starts an empty one with these options besides.
    pub fn start(options: &[&str]) -> Self {
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--user=root"])
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            // Two at one time would take the same names in the usual one.
            .env("TMPDIR", folder.path())
            .output()
            .expect("mariadb-install-db cannot be run: install mariadb-server");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let users = "CREATE USER IF NOT EXISTS admin@'%';\n\
                     GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n\
                     CREATE USER IF NOT EXISTS muster@'%' IDENTIFIED BY 'not-a-secret';\n\
                     GRANT ALL ON `muster\\_test\\_%`.* TO muster@'%';\n";
        std::fs::write(folder.path().join("users.sql"), users).unwrap();
        let mut candidates = std::iter::repeat_with(|| rand::random_range(20_000..32_000));
        let port = candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { folder, port, options, keeper: None };
        server.resume();
        server
    }

    /// As a server would log in.
    pub fn address(&self) -> DatabaseAddress {
        let (username, password) = ("muster".to_owned(), "not-a-secret".to_owned());
        DatabaseAddress { address: format!("127.0.0.1:{}", self.port), username, password }
    }

    /// With all rights.
    pub fn admin(&self) -> DatabaseAddress {
        DatabaseAddress { username: "admin".to_owned(), password: String::new(), ..self.address() }
    }

    /// Ends it as a power loss would. What it has committed stays.
    pub fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            std::fs::write(self.folder.path().join("keep"), "").unwrap();
            drop(keeper.stdin.take());
            keeper.wait().unwrap();
        }
    }

    /// Starts it again, at the same address.
    #[expect(clippy::disallowed_methods, reason = "waits for another process, outside of any runtime")]
    pub fn resume(&mut self) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "keeper"])
            .arg(self.folder.path())
            .args(["mariadbd", "--no-defaults", "--user=root", "--skip-name-resolve", "--bind-address=127.0.0.1"])
            .args(["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=48M", "--innodb-flush-log-at-trx-commit=0"])
            .args(["--innodb-flush-method=nosync", "--skip-innodb-doublewrite", "--innodb-use-native-aio=0"])
            .args(["--max-connections=1000", "--innodb-print-all-deadlocks=1"])
            .arg(format!("--port={}", self.port))
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--log-error={}", path("log")))
            .arg(format!("--init-file={}", path("users.sql")))
            .args(&self.options)
            .env("TMPDIR", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let _ = std::fs::remove_file(path("keep"));
        self.keeper = Some(command.spawn().expect("mariadbd cannot be run: install mariadb-server"));
        let deadline = Instant::now() + START;
        while let Err(error) = self.admin().execute("DO 1") {
            let log = || std::fs::read_to_string(path("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "mariadbd did not start: {error}\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        self.kill();
    }
}
