//! Throw-away Redis processes: a single one, one with TLS, one behind a Sentinel, and a cluster. Each listens on a port of
//! its own on 127.0.0.1, keeps its files in a folder of its own, and goes away with the value; what a killed test has
//! left behind is swept up by the next one.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// How long a process may take to be ready on a busy machine.
const START: Duration = Duration::from_secs(30);

/// What a server needs to use it, as flags without dashes.
pub type Settings = Vec<(String, String)>;

/// One `redis-server` or `redis-sentinel`.
pub struct RedisProcess {
    folder: PathBuf,
    port: u16,
    program: &'static str,
    arguments: Vec<String>,
    /// What `redis-cli` needs to reach it.
    cli: Vec<String>,
    child: Option<Child>,
}

impl RedisProcess {
    /// A single Redis that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A Redis with further arguments.
    pub async fn with(arguments: &[&str]) -> Self {
        let (folder, port) = (new_folder(), free_port());
        let mut all = vec!["--port".to_owned(), port.to_string()];
        all.extend(common_arguments(&folder));
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Self::run(folder, port, "redis-server", all, Vec::new()).await
    }

    async fn run(folder: PathBuf, port: u16, program: &'static str, arguments: Vec<String>, cli: Vec<String>) -> Self {
        let mut process = Self { folder, port, program, arguments, cli, child: None };
        process.restart().await;
        process
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn settings(&self) -> Settings {
        vec![("redis_address".to_owned(), self.address())]
    }

    /// Starts it, on the same port as before, and waits until it answers.
    pub async fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(self.program);
        command.args(&self.arguments).current_dir(&self.folder).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot run {}: {error}; `scripts/install-test-services` installs it", self.program)
        });
        std::fs::write(self.folder.join("pid"), child.id().to_string()).unwrap();
        self.child = Some(child);
        // One that wants a password first is ready too.
        self.until_any(&["PONG", "NOAUTH"], &["ping"]).await;
    }

    /// Ends it at once; what it knew is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it in its tracks: connections stay and nothing is answered.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// What `redis-cli` gets for an answer; nothing when it gets none.
    pub fn ask(&self, question: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]).args(&self.cli).args(question);
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    /// Asks until the answer has a text in it.
    pub async fn until(&self, text: &str, question: &[&str]) {
        self.until_any(&[text], question).await;
    }

    async fn until_any(&self, texts: &[&str], question: &[&str]) {
        let deadline = Instant::now() + START;
        loop {
            let answer = self.ask(question);
            if texts.iter().any(|text| answer.contains(text)) {
                return;
            }
            let said = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{question:?} never had {texts:?}: {answer}\n{said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        self.kill();
        // Whatever is left is swept up later.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A Redis that speaks only TLS and wants a certificate of its clients.
pub struct TlsRedis {
    pub process: RedisProcess,
}

/// The name in the certificate, which is no address.
const TLS_NAME: &str = "redis.test";

impl TlsRedis {
    pub async fn start() -> Self {
        let (folder, port) = (new_folder(), free_port());
        make_certificates(&folder, TLS_NAME);
        Self { process: start_tls(folder.clone(), port, &folder, &[]).await }
    }

    pub fn settings(&self) -> Settings {
        let mut settings = self.process.settings();
        settings.extend(tls_settings(&self.process.folder));
        settings
    }
}

/// Starts a Redis that shows, and trusts, the certificates of a folder.
async fn start_tls(folder: PathBuf, port: u16, certificates: &Path, further: &[&str]) -> RedisProcess {
    let path = |name: &str| certificates.join(name).display().to_string();
    let mut arguments: Vec<String> = ["--port", "0", "--tls-port", &port.to_string()].map(str::to_owned).to_vec();
    for (flag, file) in
        [("--tls-cert-file", "server.pem"), ("--tls-key-file", "server.key"), ("--tls-ca-cert-file", "ca.pem")]
    {
        arguments.extend([flag.to_owned(), path(file)]);
    }
    arguments.extend(common_arguments(&folder));
    arguments.extend(further.iter().map(|argument| (*argument).to_owned()));
    // redis-cli does not check names.
    RedisProcess::run(folder, port, "redis-server", arguments, tls_cli(certificates)).await
}

/// What `redis-cli` needs with these certificates.
fn tls_cli(certificates: &Path) -> Vec<String> {
    let mut cli = vec!["--tls".to_owned(), "--sni".to_owned(), TLS_NAME.to_owned()];
    for (flag, file) in [("--cert", "client.pem"), ("--key", "client.key"), ("--cacert", "ca.pem")] {
        cli.extend([flag.to_owned(), certificates.join(file).display().to_string()]);
    }
    cli
}

fn tls_settings(certificates: &Path) -> Settings {
    let mut settings = vec![
        ("redis_use_tls".to_owned(), "true".to_owned()),
        ("redis_tls_server_name".to_owned(), TLS_NAME.to_owned()),
    ];
    for (key, file) in [("cert", "client.pem"), ("key", "client.key"), ("ca", "ca.pem")] {
        settings.push((format!("redis_tls_{key}"), certificates.join(file).display().to_string()));
    }
    settings
}

/// Puts `ca.pem` into a folder, and what it has signed: `server.pem` for a server of this name, `client.pem`, and the `.key`
/// of each.
pub fn make_certificates(folder: &Path, server: &str) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec!["Test CA".to_owned()]).unwrap();
    // With one name for all, certificates would look self-signed.
    ca.distinguished_name.push(DnType::CommonName, "Test CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(folder.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    for (name, subject) in [("server", server), ("client", "muster.test")] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![subject.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// A master, its replica, and a Sentinel that watches them.
pub struct SentinelRedis {
    pub redis: Vec<RedisProcess>,
    sentinel: RedisProcess,
}

impl SentinelRedis {
    pub async fn start() -> Self {
        let master = RedisProcess::with(&["--repl-diskless-sync-delay", "0"]).await;
        let port = master.port.to_string();
        let replica = RedisProcess::with(&["--replicaof", &format!("127.0.0.1 {port}")]).await;
        replica.until("master_link_status:up", &["info", "replication"]).await;
        let (folder, own_port) = (new_folder(), free_port());
        let text = format!(
            "port {own_port}\nbind 127.0.0.1\ndir {}\nlogfile {}\nsentinel monitor mymaster 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n",
            folder.display(),
            folder.join("log").display()
        );
        let file = folder.join("sentinel.conf");
        std::fs::write(&file, text).unwrap();
        let arguments = vec![file.display().to_string()];
        let sentinel = RedisProcess::run(folder, own_port, "redis-sentinel", arguments, Vec::new()).await;
        sentinel.until("slaves=1", &["info", "sentinel"]).await;
        Self { redis: vec![master, replica], sentinel }
    }

    pub fn settings(&self) -> Settings {
        vec![("redis_sentinel_addresses".to_owned(), self.sentinel.address())]
    }

    /// From now on, the Sentinel answers those alone who show this password.
    pub fn guard(&self, password: &str) {
        let password = format!(">{password}");
        assert_eq!(self.sentinel.ask(&["acl", "setuser", "default", "on", "resetpass", &password]).trim(), "OK");
    }

    /// Waits until the Sentinel has made another one the master.
    pub async fn failed_over_to(&self, index: usize) {
        let port = self.redis[index].port.to_string();
        self.sentinel.until(&port, &["sentinel", "get-master-addr-by-name", "mymaster"]).await;
        self.redis[index].until("role:master", &["info", "replication"]).await;
    }
}

/// Three masters that share the keys.
pub struct ClusterRedis {
    pub nodes: Vec<RedisProcess>,
    /// What clients need besides the addresses.
    tls: Settings,
}

/// What each node of a cluster is started with.
const CLUSTER: [&str; 6] =
    ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"];

impl ClusterRedis {
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(RedisProcess::with(&CLUSTER).await);
        }
        Self::of(nodes, Vec::new()).await
    }

    /// One whose nodes speak only TLS, also among themselves.
    pub async fn start_with_tls() -> Self {
        let certificates = new_folder();
        make_certificates(&certificates, TLS_NAME);
        let mut arguments = CLUSTER.to_vec();
        arguments.extend(["--tls-cluster", "yes"]);
        let mut nodes = Vec::new();
        for _ in 0..3 {
            // The first one has them in its own folder, which goes away with it.
            let folder = if nodes.is_empty() { certificates.clone() } else { new_folder() };
            nodes.push(start_tls(folder, free_port(), &certificates, &arguments).await);
        }
        Self::of(nodes, tls_settings(&certificates)).await
    }

    async fn of(nodes: Vec<RedisProcess>, tls: Settings) -> Self {
        let addresses: Vec<String> = nodes.iter().map(RedisProcess::address).collect();
        let mut create = Command::new("redis-cli");
        create.args(&nodes[0].cli).args(["--cluster", "create"]).args(&addresses).arg("--cluster-yes");
        let output = create.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { nodes, tls };
        cluster.is_whole().await;
        cluster
    }

    /// Waits until every node knows of all keys and all nodes.
    pub async fn is_whole(&self) {
        for node in &self.nodes {
            node.until("cluster_state:ok", &["cluster", "info"]).await;
            node.until("cluster_slots_ok:16384", &["cluster", "info"]).await;
            node.until("cluster_known_nodes:3", &["cluster", "info"]).await;
        }
    }

    pub fn settings(&self) -> Settings {
        let addresses: Vec<String> = self.nodes.iter().map(RedisProcess::address).collect();
        let mut settings = vec![("redis_address".to_owned(), addresses.join(","))];
        settings.extend(self.tls.clone());
        settings
    }
}

/// The Redis that `TEST_REDIS_URL` names, for tests that do not stop it.
pub fn outside() -> Option<Settings> {
    let url = reqwest::Url::parse(&std::env::var("TEST_REDIS_URL").ok()?).expect("TEST_REDIS_URL is a URL");
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(6379));
    let mut settings = vec![("redis_address".to_owned(), address)];
    for (key, value) in [
        ("username", url.username()),
        ("password", url.password().unwrap_or_default()),
        ("database", url.path().trim_start_matches('/')),
        ("use_tls", if url.scheme() == "rediss" { "true" } else { "" }),
    ] {
        if !value.is_empty() {
            settings.push((format!("redis_{key}"), value.to_owned()));
        }
    }
    Some(settings)
}

pub(super) fn common_arguments(folder: &Path) -> Vec<String> {
    let path = folder.display().to_string();
    let log = folder.join("log").display().to_string();
    ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &path, "--logfile", &log]
        .map(str::to_owned)
        .to_vec()
}

/// A folder of its own, named after this process.
pub(super) fn new_folder() -> PathBuf {
    let all = std::env::temp_dir().join("muster-test-redis");
    std::fs::create_dir_all(&all).unwrap();
    sweep(&all);
    let folder = all.join(format!("{}.{:016x}", std::process::id(), rand::random::<u64>()));
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Ends processes, and removes folders, of tests that are gone.
fn sweep(all: &Path) {
    for entry in std::fs::read_dir(all).unwrap().flatten() {
        let (folder, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let owner = name.split('.').next().unwrap_or_default();
        if Path::new("/proc").join(owner).exists() {
            continue;
        }
        if let Ok(pid) = std::fs::read_to_string(folder.join("pid"))
            // A process that works in this folder is the one that was started there.
            && std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)
        {
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}

/// A port that is free, as is the one 10,000 above it, which nodes of a cluster use among themselves. Both lie below
/// those the system gives to outgoing connections.
pub(super) fn free_port() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut candidates = std::iter::repeat_with(|| rand::random_range(10_000..20_000));
    candidates.find(|port| is_free(*port) && is_free(port + 10_000)).unwrap()
}
