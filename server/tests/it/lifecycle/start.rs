use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::support::{Rest, ServerSetup, TestServer, eventually};

/// Runs a server that cannot start, and tells its exit code and what it said.
fn failed_start(setup: &ServerSetup, change: impl FnOnce(&mut std::process::Command)) -> (Option<i32>, String) {
    let mut command = setup.command();
    change(&mut command);
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let setup = ServerSetup::new(&[]);
    let _taken = TcpListener::bind(("127.0.0.1", setup.port())).unwrap();
    let (code, said) = failed_start(&setup, |_| {});
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{}", setup.port())), "{said}");
    assert!(said.contains("server.address"), "{said}");
}

#[test]
fn everything_that_is_wrong_with_the_settings_is_told_at_once() {
    let setup = ServerSetup::new(&["osquery_answer_timeout=20s"]);
    let file = setup.folder().join("muster.yml");
    std::fs::write(&file, "server:\n  adress: x\nosquery:\n  host_identifier: serial\nnosuch:\n  key: 1\n").unwrap();
    let (code, said) = failed_start(&setup, |command| {
        command.arg("--config").arg(&file).env("FLEET_SQLITE_READERS", "many").env("FLEET_SERVER_WORKRES", "1");
    });
    assert_eq!(code, Some(1), "{said}");
    for problem in [
        "unknown key server.adress (did you mean server.address?)",
        "osquery.host_identifier: expects",
        "unknown key nosuch.key",
        "variable FLEET_SQLITE_READERS: expects",
        "variable FLEET_SERVER_WORKRES: unknown setting (did you mean FLEET_SERVER_WORKERS?)",
        "osquery.answer_timeout: agents give up after 16s",
    ] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }
    assert!(!setup.folder().join("muster.db").exists(), "nothing is made before the settings are right");
}

/// Runs `muster config check` with these variables, and gives whether it found the settings valid and what it said.
fn checked(variables: &[(&str, &str)], flags: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(["config", "check"]).args(flags).env_clear().envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn variables_that_others_set_do_not_stop_the_start() {
    // What Kubernetes puts into a pod beside services named fleet and fleet-cache-redis-master.
    let of_kubernetes = [
        ("FLEET_SERVICE_HOST", "10.0.0.9"),
        ("FLEET_SERVICE_PORT", "8080"),
        ("FLEET_PORT", "tcp://10.0.0.9:8080"),
        ("FLEET_PORT_8080_TCP_ADDR", "10.0.0.9"),
        ("FLEET_CACHE_REDIS_MASTER_PORT", "tcp://10.0.0.5:6379"),
    ];
    let (is_valid, said) = checked(&of_kubernetes, &[]);
    assert!(is_valid && !said.contains("warning"), "{said}");
    // What is left of a compose file for Fleet.
    let of_fleet = [
        ("FLEET_LICENSE_KEY", ""),
        ("FLEET_SERVER_PRIVATE_KEY", "0123456789abcdef0123456789abcdef"),
        ("FLEET_VULNERABILITIES_DATABASES_PATH", "v"),
        ("FLEET_SERVER_TLS", "False"),
    ];
    let (is_valid, said) = checked(&of_fleet, &[]);
    assert!(is_valid, "{said}");
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
    for (name, _) in &of_fleet[..3] {
        assert!(said.contains(name), "{said}");
    }
    let (is_valid, said) = checked(&[("FLEET_DOMAIN", "example.com")], &[]);
    assert!(is_valid && said.contains("are ignored: FLEET_DOMAIN"), "{said}");
    let (is_valid, said) = checked(&[], &["--auth_jwt_key", "x", "--logging_disable_banner", "--dev"]);
    assert!(is_valid && said.matches("warning: ").count() == 1, "{said}");
    for flag in ["--auth_jwt_key", "--dev", "--logging_disable_banner"] {
        assert!(said.contains(flag), "{said}");
    }
}

#[test]
fn a_variable_that_nearly_is_a_setting_stops_the_start() {
    for (variable, meant) in
        [("FLEET_SERVER_ADRESS", "FLEET_SERVER_ADDRESS"), ("FLEET_MYSQL_PASWORD", "FLEET_MYSQL_PASSWORD")]
    {
        let (is_valid, said) = checked(&[(variable, "x")], &[]);
        assert!(!is_valid && said.contains(&format!("did you mean {meant}?")), "{said}");
    }
}

#[test]
fn a_check_of_the_settings_finds_what_would_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("none.crt"), folder.path().join("none.key"));
    let flags = [format!("--server_cert={}", cert.display()), format!("--server_key={}", key.display())];
    let flags = [flags[0].as_str(), &flags[1], "--redis_address=redis:6379", "--redis_password_path=/none/password"];
    let (is_valid, said) = checked(&[], &flags);
    assert!(!is_valid, "{said}");
    for part in
        ["Error: the configuration is not valid:", "server.cert and server.key: ", "none.crt", "redis.password_path"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (is_valid, said) = checked(&[], &["--server_address=127.0.0.1:99999", "--mysql_address=db:many"]);
    assert!(!is_valid && said.contains("server.address: expects") && said.contains("mysql.address: expects"), "{said}");
    let mysql = ["--mysql_address=db", "--mysql_tls_ca=/none/ca.pem"];
    let (is_valid, said) = checked(&[], &mysql);
    assert!(!is_valid && said.contains("mysql.tls_ca: cannot read /none/ca.pem"), "{said}");
}

#[test]
fn a_network_with_more_than_its_prefix_is_named_with_the_place() {
    let (is_valid, said) = checked(&[("FLEET_SERVER_TRUSTED_PROXIES", "10.0.0.4,10.1.2.3/8")], &[]);
    assert!(!is_valid, "{said}");
    assert!(said.contains("variable FLEET_SERVER_TRUSTED_PROXIES: ") && said.contains("write 10.0.0.0/8"), "{said}");
    let (is_valid, said) = checked(&[], &["--server_trusted_proxies=10.0.0.0/8,2001:db8::/32"]);
    assert!(is_valid, "{said}");
}

#[test]
fn files_of_passwords_are_read_by_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let metrics = format!("--prometheus_basic_auth_password_path={}", empty.display());
    let flags = [
        "--prometheus_basic_auth_username=scraper",
        &metrics,
        "--redis_sentinel_addresses=sentinel:26379",
        "--redis_sentinel_password_path=/none/password",
    ];
    let (is_valid, said) = checked(&[], &flags);
    assert!(!is_valid, "{said}");
    for part in ["prometheus.basic_auth.password_path: ", " is empty", "redis.sentinel_password_path: cannot read"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_database_that_refuses_connections_is_named_with_the_cause() {
    let setup = ServerSetup::on_sqlite(&["mysql_address=127.0.0.1:1"]);
    let (code, said) = failed_start(&setup, |_| {});
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("refused") && !said.contains("pool timed out"), "{said}");
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_of_live_queries_does_not_start() {
    let setup = ServerSetup::on_sqlite(&[]);
    let server = setup.start().await;
    let live = setup.folder().join("live").display().to_string();
    let other = ServerSetup::on_sqlite(&[&format!("live_dir={live}")]);
    let (code, said) = tokio::task::spawn_blocking(move || failed_start(&other, |_| {})).await.unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another server uses it") && said.contains(&live), "{said}");
    drop(server);
}

#[tokio::test]
async fn a_second_server_on_the_same_log_files_does_not_start() {
    let server = TestServer::start().await;
    let setup = ServerSetup::new(&[&format!("filesystem_result_log_file={}", server.results().display())]);
    let (code, said) = tokio::task::spawn_blocking(move || failed_start(&setup, |_| {})).await.unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another process"), "{said}");
    assert!(said.contains(&server.results().display().to_string()), "{said}");
}

/// Warnings are for what somebody has to look at.
#[tokio::test]
async fn a_server_that_is_well_warns_of_nothing() {
    let setup = ServerSetup::new(&[]);
    let mut server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    rest.apply(&[json!({ "kind": "query", "spec": { "name": "one", "query": "SELECT 1" } })]).await;
    let mut agent = setup.address().enrolled(1).await;
    assert!(agent.config().await.verdict.is_success());
    agent.push_result_line(r#"{"line":1}"#);
    assert!(agent.flush_logs().await[0].verdict.is_success());
    assert!(agent.distributed().await.read.verdict.is_success());
    server.signal("TERM");
    assert_eq!(server.ended(Duration::from_secs(10)).await.code(), Some(0));
    let said = server.said();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).collect();
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_certificate_that_is_none_is_named() {
    let setup = ServerSetup::new(&["server_cert=cert.pem", "server_key=key.pem"]);
    std::fs::write(setup.folder().join("cert.pem"), "no certificate").unwrap();
    std::fs::write(setup.folder().join("key.pem"), "no key").unwrap();
    let (code, said) = failed_start(&setup, |_| {});
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cert.pem") || said.contains("key.pem"), "{said}");
}

#[test]
fn a_database_that_is_none_is_named() {
    let setup = ServerSetup::on_sqlite(&[]);
    std::fs::write(setup.folder().join("muster.db"), "this is no database, but a text that is long enough ".repeat(50))
        .unwrap();
    let (code, said) = failed_start(&setup, |_| {});
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("muster.db"), "{said}");
}

#[tokio::test]
async fn settings_come_from_a_file_too() {
    let setup = ServerSetup::new(&["server_tls=false"]);
    let file = setup.folder().join("muster.yml");
    std::fs::write(&file, "server:\n  url_prefix: /muster\n").unwrap();
    let mut command = setup.command();
    command.arg("--config").arg(file);
    let _server = setup.start_by(command).await;
    let rest = Rest::new(&setup.address());
    assert_eq!(rest.get("/muster/healthz").await.status, 200);
    assert_eq!(rest.get("/healthz").await.status, 404);
}

/// The lines that a server has written, as the first words of their messages.
fn reported_lines(said: &str) -> Vec<&str> {
    let known = [
        "starting version=",
        "a self-signed certificate was made",
        "the database is up to date now",
        "listening address=",
        "stopping;",
        "stopped",
    ];
    said.lines().map(|line| known.into_iter().find(|words| line.contains(words)).unwrap_or(line)).collect()
}

#[tokio::test]
async fn the_log_of_a_start_has_what_operators_need_and_no_more() {
    let setup = ServerSetup::on_sqlite(&[]);
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut server = setup.start().await;
        server.signal("TERM");
        assert!(server.ended(Duration::from_secs(30)).await.success());
        let said = eventually("all is read that it wrote", Duration::from_secs(10), async || {
            Some(server.said()).filter(|said| said.ends_with(" stopped\n"))
        });
        lines.push(said.await);
    }
    let [first, second]: [String; 2] = lines.try_into().unwrap();
    let made = ["a self-signed certificate was made", "the database is up to date now"];
    assert_eq!(
        reported_lines(&first),
        [&["starting version="], &made[..], &["listening address=", "stopping;", "stopped"]].concat()
    );
    assert_eq!(reported_lines(&second), ["starting version=", "listening address=", "stopping;", "stopped"]);
}
