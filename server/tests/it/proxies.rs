//! The examples in `deploy/proxies`, each run before a server: what agents and operators do passes, and what the proxy says by
//! itself is no success to agents.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agent_compat::Verdict;
use agent_compat::transport::Trust;
use serde_json::json;
use tempfile::TempDir;

use crate::live::sockets::Socket;
use crate::live::{ask, hosts};
use crate::support::{Address, Rest, TestServer, eventually, free_port, make_certificates};

const NGINX: &str = include_str!("../../../deploy/proxies/nginx.conf");
const HAPROXY: &str = include_str!("../../../deploy/proxies/haproxy.cfg");

/// How long a proxy may take to listen on a busy machine.
const START: Duration = Duration::from_secs(20);

/// Longest wait for a line of a stream, far below the 60 s and more after which a proxy that keeps it would let it go.
const LINE_WITHIN: Duration = Duration::from_secs(20);

/// A proxy of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Nginx,
    Haproxy,
}

/// Where Debian has a server's program, which is not always in the path of users.
fn installed(name: &str) -> String {
    let path = format!("/usr/sbin/{name}");
    if Path::new(&path).exists() { path } else { name.to_owned() }
}

/// A running proxy. Ends when it goes out of scope.
struct Running {
    child: Child,
    agents: Address,
    operators: Address,
    _folder: TempDir,
}

impl Running {
    /// The example, with free ports, certificates of its own, and this server as the only node.
    async fn before(program: Program, server: &TestServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_certificates(folder.path(), "127.0.0.1");
        let (agents, operators) = (free_port(), free_port());
        let config = &server.config().server;
        let text = match program {
            Program::Nginx => nginx(folder.path(), agents, operators),
            Program::Haproxy => haproxy(folder.path(), agents, operators),
        };
        let text = text
            .lines()
            .filter(|line| !line.contains("10.0.0.12:"))
            .collect::<Vec<_>>()
            .join("\n")
            .replace("10.0.0.11:8080", &config.address)
            .replace("10.0.0.11:8443", &config.operator_address);
        let file = folder.path().join("proxy.conf");
        std::fs::write(&file, text + "\n").unwrap();
        let mut command = match program {
            Program::Nginx => {
                let mut command = Command::new(installed("nginx"));
                command
                    .arg("-e")
                    .arg(folder.path().join("error.log"))
                    .arg("-g")
                    .arg("daemon off;")
                    .arg("-c")
                    .arg(&file);
                command
            }
            Program::Haproxy => {
                let mut command = Command::new(installed("haproxy"));
                command.arg("-db").arg("-f").arg(&file);
                command
            }
        };
        let said = std::fs::File::create(folder.path().join("said")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said).spawn();
        let mut child = child.expect("the proxy is there; scripts/install-test-services installs it");
        for port in [agents, operators] {
            eventually("the proxy listens", START, async || {
                let said = || std::fs::read_to_string(folder.path().join("said")).unwrap();
                assert!(child.try_wait().unwrap().is_none(), "{program:?} ended: {}", said());
                TcpStream::connect(("127.0.0.1", port)).ok()
            })
            .await;
        }
        let address = |port: u16| Address {
            url: format!("https://127.0.0.1:{port}"),
            trust: Trust::CaFile(folder.path().join("ca.pem")),
        };
        Self { child, agents: address(agents), operators: address(operators), _folder: folder }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx ends its workers only when it is asked to end.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn nginx(folder: &Path, agents: u16, operators: u16) -> String {
    let at = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {at}/{what}; "))
        .concat();
    NGINX
        .replace("worker_rlimit_nofile 65536;", "")
        .replace("worker_connections 16384;", "worker_connections 512;")
        .replace("/run/nginx.pid", &format!("{at}/pid"))
        .replace("/var/log/nginx/error.log", &format!("{at}/error.log"))
        .replace("http {\n", &format!("http {{ {temporary}\n"))
        .replace("/etc/muster/tls/server.crt", &format!("{at}/server.pem"))
        .replace("/etc/muster/tls/server.key", &format!("{at}/server.key"))
        .replace("listen 443 ssl backlog=4096;", &format!("listen 127.0.0.1:{agents} ssl;"))
        .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{operators} ssl;"))
}

fn haproxy(folder: &Path, agents: u16, operators: u16) -> String {
    let pem = ["server.pem", "server.key"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).concat();
    for name in ["agents.pem", "operators.pem"] {
        std::fs::write(folder.join(name), &pem).unwrap();
    }
    HAPROXY
        .replace("maxconn 20000", "maxconn 500")
        .replace("/etc/muster/tls/", &format!("{}/", folder.display()))
        .replace("bind :443 ", &format!("bind 127.0.0.1:{agents} "))
        .replace("bind :8443 ", &format!("bind 127.0.0.1:{operators} "))
}

/// A server with the settings that the heads of the examples name, met through the proxy by all who use it.
async fn behind(program: Program) -> (TestServer, Running) {
    let mut server = TestServer::with(|config| {
        config.server.tls = false;
        config.server.operator_address = "127.0.0.1:0".to_owned();
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.session.logins_per_minute = 1;
    })
    .await;
    let proxy = Running::before(program, &server).await;
    server.rest = Rest::new(&proxy.operators).with_token(server.rest.token());
    server.address = proxy.agents.clone();
    (server, proxy)
}

async fn everything_passes(program: Program) {
    let (mut server, proxy) = behind(program).await;
    let mut agents = hosts(&server, 2).await;
    assert!(agents[0].config().await.verdict.is_success());

    // The line of the first host comes while the second one is still waited for.
    let id = ask(&server, "SELECT 1").await.id;
    let following = server.rest.getting(&format!("live_queries/{id}/results?follow=true"));
    let mut stream = following.send().await.unwrap();
    agents[0].distributed().await;
    let mut seen = String::new();
    while !seen.contains("host_id") {
        let piece = tokio::time::timeout(LINE_WITHIN, stream.chunk()).await.unwrap().unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&piece).unwrap());
    }
    drop(stream);

    let mut socket = Socket::watch(&server, id).await;
    assert_eq!(socket.next().await["type"], "totals");
    drop(socket);

    let page = server.rest.anonymous().get("/login").await;
    assert_eq!(page.status, 200, "{}", page.text);
    let cookie = page.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("Secure"), "the server was not told of HTTPS: {cookie}");

    // Monitoring goes to the nodes themselves; agents' address has nothing of operators.
    assert_eq!(server.rest.get("/metrics").await.status, 404);
    assert_eq!(Rest::new(&proxy.agents).with_token(server.rest.token()).get("hosts").await.status, 421);

    // An address that a client makes up is not taken for one that may try anew.
    let login = json!({ "email": "nobody@example.com", "password": "wrong" });
    let mut statuses = Vec::new();
    for made_up in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let request = server.rest.posting("login", &login).header("X-Forwarded-For", made_up);
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");

    // Without a node, the proxy answers.
    server.stop().await;
    let exchange = agents[0].config().await;
    assert!(exchange.response.is_some() && matches!(exchange.verdict, Verdict::Failure(_)), "{exchange:?}");
    agents[0].push_result_line(r#"{"name":"kept"}"#);
    for exchange in agents[0].flush_logs().await {
        assert!(matches!(exchange.verdict, Verdict::Failure(_)), "{exchange:?}");
    }
}

#[tokio::test]
async fn nginx_passes_everything_and_fails_in_words() {
    everything_passes(Program::Nginx).await;
}

#[tokio::test]
async fn haproxy_passes_everything_and_fails_in_words() {
    everything_passes(Program::Haproxy).await;
}
