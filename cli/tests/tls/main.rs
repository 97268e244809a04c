//! The servers that `fleetctl` trusts, and those that the server trusts as MySQL and Redis: all by the same rules.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod certificates;
#[path = "../fleetctl/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod fleetctl;
#[path = "../../../server/tests/it/support/mariadb.rs"]
#[expect(dead_code, reason = "the tests of the server use the rest")]
mod mariadb;
mod old_format;
#[path = "../../../server/tests/it/support/redis.rs"]
#[expect(dead_code, reason = "the tests of the server use the rest")]
mod redis;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certificates::{Authority, Shown, version_1};
use fleetctl::Fleetctl;
use mariadb::Mariadb;
use muster::clock::Clock;
use muster::config::{Config, Secret};
use muster::{Lifecycle, serve};
use redis::RedisProcess;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Longest wait of each step.
const SOON: Duration = Duration::from_secs(30);

/// Settings of a client, and whether it then talks to a server with this certificate.
struct Case<'a> {
    what: &'static str,
    shown: Shown,
    /// The CA file; nothing to skip the verification.
    trusted: Option<&'a Path>,
    is_accepted: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_certificate_is_accepted_or_refused_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, other) = (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "other"));
    let trusted = Some(ca.path.as_path());
    let case = |what, shown, trusted, is_accepted| Case { what, shown, trusted, is_accepted };
    let cases = [
        case("signed by the CA", ca.signed(folder.path(), "localhost", 2049), trusted, true),
        case("the CA's own", ca.itself(), trusted, true),
        case("another CA's own", other.itself(), trusted, false),
        case("for another name", ca.signed(folder.path(), "other.test", 2049), trusted, false),
        case("expired", ca.signed(folder.path(), "localhost", 2001), trusted, false),
        // The last one: MariaDB shows it to the tests as well from then on.
        case("X.509 version 1, unverified", version_1(folder.path()), None, true),
    ];
    assert!(is_unreadable(&cases[5].shown), "the library that verifies certificates has learned version 1");
    let paths = ["server.pem", "server.key"].map(|name| folder.path().join(name));
    install(&cases[0].shown, &paths);
    let [cert, key] = ["ssl-cert", "ssl-key"];
    let options = [format!("--{cert}={}", paths[0].display()), format!("--{key}={}", paths[1].display())];
    let mariadb = tokio::task::block_in_place(|| Mariadb::start(&[&options[0], &options[1]]));
    let database = mariadb.address().new_database();
    for case in cases {
        install(&case.shown, &paths);
        mariadb.admin().execute("FLUSH SSL").unwrap();
        let verdicts = [
            ("MySQL", Some(mysql_accepts(&mariadb, &database, &case).await)),
            ("Redis", redis_accepts(&case).await),
            ("fleetctl", Some(fleetctl_accepts(&case).await)),
        ];
        for (client, verdict) in verdicts {
            assert_eq!(verdict.unwrap_or(case.is_accepted), case.is_accepted, "{client}, a certificate {}", case.what);
        }
    }
}

fn is_unreadable(shown: &Shown) -> bool {
    ParsedCertificate::try_from(&CertificateDer::from_pem_file(&shown.certificate).unwrap()).is_err()
}

fn install(shown: &Shown, paths: &[std::path::PathBuf; 2]) {
    std::fs::copy(&shown.certificate, &paths[0]).unwrap();
    std::fs::copy(&shown.key, &paths[1]).unwrap();
}

async fn mysql_accepts(mariadb: &Mariadb, database: &str, case: &Case<'_>) -> bool {
    let mut config = Config::default();
    let address = mariadb.address();
    let (_, port) = address.address.rsplit_once(':').unwrap();
    config.mysql.address = format!("localhost:{port}");
    config.mysql.username = address.username;
    config.mysql.password = Secret::new(&address.password);
    database.clone_into(&mut config.mysql.database);
    config.mysql.tls_config = if case.trusted.is_some() { "custom" } else { "skip-verify" }.to_owned();
    config.mysql.tls_ca = case.trusted.map(Path::to_owned);
    let prepared = muster::prepare(&config, |_| {}).await.map_err(|error| format!("{error:#}"));
    if let Err(error) = &prepared {
        assert!(error.contains("invalid peer certificate") && error.contains("mysql.tls_ca"), "{error}");
    }
    prepared.is_ok()
}

/// `None` when nothing is verified, for which Redis has no setting.
async fn redis_accepts(case: &Case<'_>) -> Option<bool> {
    let trusted = case.trusted?;
    let port = redis::free_port();
    let [cert, key] = [&case.shown.certificate, &case.shown.key].map(|path| path.display().to_string());
    let tls = port.to_string();
    let arguments = ["--tls-port", &tls, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let _redis = RedisProcess::with(&arguments).await;
    let server = Served::new(|config| {
        config.redis.address = vec![format!("localhost:{port}")];
        config.redis.use_tls = true;
        config.redis.tls_ca = Some(trusted.to_owned());
    })
    .await;
    let deadline = Instant::now() + SOON;
    loop {
        // The server pings Redis when it starts.
        let metrics = server.get("metrics").await;
        if metrics.lines().any(|line| line == "muster_redis_up 1") {
            return Some(true);
        }
        if metrics.lines().any(|line| line.starts_with("muster_redis_failures_total{command=\"ping\"} ")) {
            return Some(false);
        }
        assert!(Instant::now() < deadline, "neither up nor down within {SOON:?}:\n{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn fleetctl_accepts(case: &Case<'_>) -> bool {
    let server = Served::new(|_| {}).await;
    let port = in_front_of(server.address, &case.shown).await;
    let fleetctl = Fleetctl::new();
    let address = format!("https://localhost:{port}");
    let mut context = vec!["config", "set", "--address", &address];
    let trusted = case.trusted.map(|path| path.display().to_string());
    match &trusted {
        Some(path) => context.extend(["--rootca", path]),
        None => context.push("--tls-skip-verify"),
    }
    assert_eq!(fleetctl.run(&context).code, Some(0));
    let run = tokio::task::block_in_place(|| {
        fleetctl.run(&["setup", "--email", "a@b.test", "--password", "only-for-tests-1!", "--org-name", "Tests"])
    });
    assert!(run.code == Some(0) || run.stderr.contains("certificate"), "{run:?}");
    run.code == Some(0)
}

/// A server without TLS, on SQLite.
struct Served {
    address: SocketAddr,
    lifecycle: Lifecycle,
    _folder: tempfile::TempDir,
}

impl Served {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.address = "127.0.0.1:0".to_owned();
        config.server.tls = false;
        config.server.workers = 1;
        config.sqlite.path = folder.path().join("muster.db");
        config.filesystem.result_log_file = folder.path().join("results");
        config.filesystem.status_log_file = folder.path().join("statuses");
        change(&mut config);
        let lifecycle = Lifecycle::default();
        let running = serve(config, Clock::system(), lifecycle.clone()).await.unwrap();
        Self { address: running.address(), lifecycle, _folder: folder }
    }

    async fn get(&self, path: &str) -> String {
        // Fails from the second time on.
        let _ = ring::default_provider().install_default();
        let url = format!("http://{}/{path}", self.address);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.lifecycle.abort();
    }
}

/// The certificate, whatever it is: the listener of the server itself refuses one that it cannot read.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Terminates TLS with this certificate, as a proxy does, on the port that is given back.
async fn in_front_of(server: SocketAddr, shown: &Shown) -> u16 {
    let certificate = CertificateDer::from_pem_file(&shown.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&shown.key).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(vec![certificate], key)))));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that refuses the certificate ends here.
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(server).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}
