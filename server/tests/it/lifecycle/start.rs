use std::net::TcpListener;
use std::process::Stdio;

use crate::support::{Rest, Site, TestServer};

/// Runs a server that cannot start, and tells its exit code and what it said.
fn failed_start(site: &Site, change: impl FnOnce(&mut std::process::Command)) -> (Option<i32>, String) {
    let mut command = site.command();
    change(&mut command);
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let site = Site::new(&[]);
    let _taken = TcpListener::bind(("127.0.0.1", site.port())).unwrap();
    let (code, said) = failed_start(&site, |_| {});
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{}", site.port())), "{said}");
    assert!(said.contains("server.address"), "{said}");
}

#[test]
fn everything_that_is_wrong_with_the_settings_is_told_at_once() {
    let site = Site::new(&["osquery_answer_timeout=20s"]);
    let file = site.folder().join("muster.yml");
    std::fs::write(&file, "server:\n  adress: x\nosquery:\n  host_identifier: serial\nnosuch:\n  key: 1\n").unwrap();
    let (code, said) = failed_start(&site, |command| {
        command.arg("--config").arg(&file).env("FLEET_SQLITE_READERS", "many").env("FLEET_NO_SUCH_KEY", "1");
    });
    assert_eq!(code, Some(1), "{said}");
    for problem in [
        "unknown key server.adress (did you mean server.address?)",
        "osquery.host_identifier: expects",
        "unknown key nosuch.key",
        "variable FLEET_SQLITE_READERS: expects",
        "variable FLEET_NO_SUCH_KEY",
        "osquery.answer_timeout: agents give up after 16s",
    ] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }
    assert!(!site.folder().join("muster.db").exists(), "nothing is made before the settings are right");
}

#[tokio::test]
async fn a_second_server_on_the_same_log_files_does_not_start() {
    let server = TestServer::start().await;
    let site = Site::new(&[&format!("filesystem_result_log_file={}", server.results().display())]);
    let (code, said) = tokio::task::spawn_blocking(move || failed_start(&site, |_| {})).await.unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another process"), "{said}");
    assert!(said.contains(&server.results().display().to_string()), "{said}");
}

#[test]
fn a_certificate_that_is_none_is_named() {
    let site = Site::new(&["server_cert=cert.pem", "server_key=key.pem"]);
    std::fs::write(site.folder().join("cert.pem"), "no certificate").unwrap();
    std::fs::write(site.folder().join("key.pem"), "no key").unwrap();
    let (code, said) = failed_start(&site, |_| {});
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cert.pem") || said.contains("key.pem"), "{said}");
}

#[test]
fn a_database_that_is_none_is_named() {
    let site = Site::on_sqlite(&[]);
    std::fs::write(site.folder().join("muster.db"), "this is no database, but a text that is long enough ".repeat(50))
        .unwrap();
    let (code, said) = failed_start(&site, |_| {});
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("muster.db"), "{said}");
}

#[tokio::test]
async fn settings_come_from_a_file_too() {
    let site = Site::new(&["server_tls=false"]);
    let file = site.folder().join("muster.yml");
    std::fs::write(&file, "server:\n  url_prefix: /muster\n").unwrap();
    let mut command = site.command();
    command.arg("--config").arg(file);
    let _server = site.start_by(command).await;
    let rest = Rest::new(&site.address());
    assert_eq!(rest.get("/muster/healthz").await.status, 200);
    assert_eq!(rest.get("/healthz").await.status, 404);
}
