//! `muster doctor` as operators run it: a process beside what it looks at.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{RedisProcess, ServerSetup, free_port, mariadb};

/// What the doctor has said.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    /// The lines that begin with a word and are of a subject.
    fn lines(&self, severity: &str, subject: &str) -> Vec<&str> {
        let head = format!("{severity:<4} {subject}: ");
        self.text.lines().filter(|line| line.starts_with(&head)).collect()
    }

    fn has(&self, severity: &str, subject: &str, part: &str) {
        let lines = self.lines(severity, subject);
        assert!(lines.iter().any(|line| line.contains(part)), "no {severity} {subject}: …{part}… in\n{}", self.text);
    }
}

/// Runs it with these settings.
fn examined(flags: &[String]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.arg("doctor").args(flags).env_clear().stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    Said { code: output.status.code(), text }
}

/// The settings of a server, with these instead of or besides.
fn flags(setup: &ServerSetup, others: &[&str]) -> Vec<String> {
    let mut all: Vec<String> =
        setup.words().into_iter().filter(|word| word.starts_with("--") && word.contains('=')).collect();
    for other in others {
        let name = format!("--{}=", other.split('=').next().unwrap());
        all.retain(|flag| !flag.starts_with(&name));
        all.push(format!("--{other}"));
    }
    all
}

fn entries(folder: &Path) -> Vec<String> {
    let mut found: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    found.sort();
    found
}

/// Few connections, so that they fit in any limit of open files.
const FEW: &str = "server_max_connections=50";

#[tokio::test]
async fn a_server_on_sqlite_is_healthy_before_and_after_its_start_and_while_it_runs() {
    let setup = ServerSetup::on_sqlite(&[FEW]);
    let all_ok = |said: &Said| {
        assert_eq!(said.code, Some(0), "{}", said.text);
        let (last, found) =
            said.text.lines().collect::<Vec<_>>().split_last().map(|(last, all)| (*last, all.to_vec())).unwrap();
        assert!(found.iter().all(|line| line.starts_with("ok   ")), "{}", said.text);
        assert_eq!(last, format!("0 FAIL, 0 warn, {} ok: all is well", found.len()));
    };
    let said = examined(&flags(&setup, &[]));
    all_ok(&said);
    said.has("ok", "ports", "is free");
    said.has("ok", "certificate", "the first start makes");
    said.has("ok", "database", "the first start makes");
    assert_eq!(entries(setup.folder()), [""; 0], "nothing is made");

    let mut server = setup.start().await;
    let before = entries(setup.folder());
    let running = tokio::task::spawn_blocking({
        let flags = flags(&setup, &[]);
        move || examined(&flags)
    })
    .await
    .unwrap();
    all_ok(&running);
    running.has("ok", "ports", "a running muster listens");
    running.has("ok", "ports", "says: ready");
    running.has("ok", "certificate", "self-signed");
    running.has("ok", "database", "is in use");
    running.has("ok", "database", "quick_check: the file is whole");
    assert_eq!(entries(setup.folder()), before);
    server.signal("TERM");
    assert_eq!(server.ended(std::time::Duration::from_secs(8)).await.code(), Some(0));

    let before = entries(setup.folder());
    let said = examined(&flags(&setup, &[]));
    all_ok(&said);
    said.has("ok", "database", "is not in use");
    assert_eq!(entries(setup.folder()), before, "no log is made beside the file");
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_remedies() {
    let setup = ServerSetup::on_sqlite(&[]);
    let taken = std::net::TcpListener::bind(("127.0.0.1", setup.port())).unwrap();
    let path = |name: &str| setup.folder().join(name).display().to_string();
    std::fs::write(path("file"), "").unwrap();
    std::fs::write(path("cert.pem"), "no certificate").unwrap();
    std::fs::write(path("key.pem"), "no key").unwrap();
    std::fs::write(path("muster.db"), "this is no database, but a text that is long enough ".repeat(50)).unwrap();
    let others = [
        format!("server_cert={}", path("cert.pem")),
        format!("server_key={}", path("key.pem")),
        format!("filesystem_result_log_file={}", path("file/results")),
        format!("documents_folder={}", path("nowhere")),
        "server_trusted_proxies=0.0.0.0/0".to_owned(),
        "server_max_connections=4000000000".to_owned(),
        format!("redis_address=127.0.0.1:{}", free_port()),
    ];
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let said = examined(&flags(&setup, &others));
    assert_eq!(said.code, Some(1), "{}", said.text);
    said.has("FAIL", "ports", "is in use, and not by a muster");
    said.has("FAIL", "certificate", "cert.pem");
    said.has("FAIL", "disk", "is no folder");
    said.has("FAIL", "documents", "is it mounted?");
    said.has("FAIL", "database", "cannot be read");
    said.has("FAIL", "redis", "cannot be used");
    said.has("FAIL", "proxies", "0.0.0.0/0 is everybody");
    said.has("warn", "open files", "fewer than");
    let mut lines: Vec<&str> = said.text.lines().collect();
    let last = lines.pop().unwrap();
    assert!(last.contains(" FAIL, ") && last.contains("until what fails is mended"), "{last}");
    for line in lines.iter().filter(|line| !line.starts_with("ok ")) {
        assert!(line.contains("; "), "a remedy is missing: {line}");
    }
    let rank = |line: &&str| ["FAIL", "warn", "ok  "].iter().position(|word| line.starts_with(word)).unwrap();
    assert!(lines.is_sorted_by_key(rank), "the worst stands first: {}", said.text);
    let mut with_json = flags(&setup, &others);
    with_json.push("--json".to_owned());
    let json: Value = serde_json::from_str(&examined(&with_json).text).unwrap();
    assert_eq!(json["severity"], "fail");
    let subjects: Vec<&str> =
        json["diagnoses"].as_array().unwrap().iter().map(|one| one["subject"].as_str().unwrap()).collect();
    let all =
        ["ports", "certificate", "clock", "open files", "disk", "documents", "database", "redis", "proxies", "secrets"];
    for subject in all {
        assert!(subjects.contains(&subject), "{subject}: {subjects:?}");
    }
    assert!(subjects.is_sorted_by_key(|subject| all.iter().position(|one| one == subject)), "{subjects:?}");
    drop(taken);
}

#[test]
fn a_key_of_another_certificate_and_a_name_that_is_missing_are_found() {
    let setup = ServerSetup::on_sqlite(&[FEW]);
    crate::support::make_certificates(setup.folder(), "muster.test");
    let path = |name: &str| setup.folder().join(name).display().to_string();
    let with = |key: &str, names: &str| {
        let others = [
            format!("server_cert={}", path("server.pem")),
            format!("server_key={}", path(key)),
            format!("server_tls_names={names}"),
        ];
        examined(&flags(&setup, &others.each_ref().map(String::as_str)))
    };
    let said = with("client.key", "");
    said.has("FAIL", "certificate", "cannot be used together");
    let said = with("server.key", "muster.test,other.test");
    said.has("warn", "certificate", "does not name other.test,");
    said.has("warn", "certificate", "holds the server's certificate alone");
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[tokio::test]
async fn a_redis_that_throws_keys_away_fails() {
    let redis = RedisProcess::with(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let setup = ServerSetup::on_sqlite(&[FEW]);
    let address = format!("redis_address={}", redis.address());
    let said = examined(&flags(&setup, &[&address]));
    assert_eq!(said.code, Some(1), "{}", said.text);
    said.has("FAIL", "redis", "maxmemory-policy is allkeys-lru; set it to noeviction");
    said.has("ok", "redis", "answers; a round trip takes");
    said.has("ok", "clock", "the clock of Redis");
    redis.ask(&["config", "set", "maxmemory-policy", "noeviction"]);
    let said = examined(&flags(&setup, &[&address]));
    assert_eq!(said.code, Some(0), "{}", said.text);
    said.has("warn", "redis", "raise maxmemory, or lower live.max_all_results");
    redis.ask(&["config", "set", "maxmemory", "0"]);
    let said = examined(&flags(&setup, &[&address]));
    assert!(said.lines("warn", "redis").is_empty(), "{}", said.text);
}

#[test]
fn a_database_that_is_away_is_said_to_be() {
    let setup = ServerSetup::on_sqlite(&[FEW]);
    let address = format!("mysql_address=127.0.0.1:{}", free_port());
    let said = examined(&flags(&setup, &[&address, "mysql_password=planted-long-password"]));
    assert_eq!(said.code, Some(1), "{}", said.text);
    said.has("FAIL", "database", "refused");
    assert!(!said.text.contains("planted-long-password"), "{}", said.text);
    // One that takes connections and says nothing.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("mysql_address={}", silent.local_addr().unwrap());
    let said = examined(&flags(&setup, &[&address]));
    assert_eq!(said.code, Some(1), "{}", said.text);
    assert_eq!(said.lines("FAIL", "database").len(), 1, "{}", said.text);
}

#[test]
fn the_settings_of_mariadb_are_looked_at_and_its_tables_are_left_alone() {
    let server = mariadb::Mariadb::start(&["--max-connections=30", "--wait-timeout=20"]);
    let address = server.address();
    let database = address.new_database();
    let setup = ServerSetup::on_sqlite(&[FEW]);
    let others = [
        format!("mysql_address={}", address.address),
        format!("mysql_username={}", address.username),
        format!("mysql_password={}", address.password),
        format!("mysql_database={database}"),
    ];
    let flags = flags(&setup, &others.each_ref().map(String::as_str));
    let said = examined(&flags);
    assert_eq!(said.code, Some(1), "{}", said.text);
    said.has("FAIL", "database", "run `muster prepare db`");
    said.has("warn", "database", "max_connections is 30");
    said.has("warn", "database", "innodb_flush_log_at_trx_commit is 0");
    said.has("warn", "database", "innodb_buffer_pool_size is 64 MiB");
    said.has("warn", "database", "wait_timeout is 20 s");
    said.has("ok", "database", "a round trip takes");
    said.has("ok", "clock", "the clock of the database agrees");
    // Still nothing there.
    let said = examined(&flags);
    said.has("FAIL", "database", "run `muster prepare db`");
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    let prepared = command
        .args(["prepare", "db"])
        .args(flags.iter().filter(|flag| flag.starts_with("--mysql_")))
        .output()
        .unwrap();
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    let said = examined(&flags);
    assert_eq!(said.code, Some(0), "{}", said.text);
    said.has("ok", "database", "its tables are up to date");
}
