//! The command, as a process of its own beside a server.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::fleet::{FleetDatabase, VERSIONS, key_of};
use crate::support::{Rest, ServerSetup, eventually};

/// Enough for many batches.
const MANY: i64 = 8_000;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn import(setup: &ServerSetup, words: &[&str]) -> Command {
    let flags = setup.words().into_iter().filter(|word| word.starts_with("--") && *word != "--until-stdin-closes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.arg("import-fleet").args(words).args(flags).env_clear().current_dir(setup.folder());
    command
}

#[tokio::test]
async fn an_interrupted_import_goes_on_beside_a_running_server() {
    let setup = ServerSetup::on_sqlite(&[]);
    let _server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let fleet = FleetDatabase::new(VERSIONS[0]);
    let mut last = setup.address().agent(1);
    last.agent_mut().import_key(key_of(1));
    fleet.add(MANY + 1, &last, last.node_key());
    fleet.execute(&format!(
        "SET max_recursive_iterations = 100000; \
         INSERT INTO hosts (id, osquery_host_id, node_key, hostname) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY}) \
         SELECT i, concat('host ', i), concat('key ', i), concat('name ', i) FROM n"
    ));
    let from = fleet.url();
    let command = || {
        let mut command = import(&setup, &["--from", &from, "--json"]);
        command.env("FLEET_IMPORT_PASSWORD", "not-a-password");
        command
    };
    let database = rusqlite::Connection::open(setup.folder().join("muster.db")).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    let hosts = || database.query_row("SELECT count(*) FROM hosts", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut first = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("some hosts are there", Duration::from_secs(60), async || (hosts() > 0).then_some(())).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let half = hosts();
    assert!(half <= MANY, "all {half} were there before it was interrupted");

    let second = command().output().unwrap();
    assert!(second.status.success(), "{}", said(&second));
    let report: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(hosts(), MANY + 1);
    assert_eq!(report["hosts"]["created"], MANY + 1 - half, "{}", report["hosts"]);
    assert!(report["continued_after"].as_i64().is_some(), "{report:#}");
    assert!(!said(&second).contains("not-a-password"));

    // The running server sees what the other process has written.
    eventually("the server has followed", Duration::from_secs(30), async || {
        (rest.get("hosts/count").await.json()["count"] == MANY + 1).then_some(())
    })
    .await;
    assert!(last.config().await.verdict.is_success());
    assert_eq!(last.counters().node_invalid(), 0);
}

#[tokio::test]
async fn a_password_in_the_address_is_taken_with_a_warning_and_shown_nowhere() {
    let setup = ServerSetup::on_sqlite(&[]);
    let _server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let fleet = FleetDatabase::new(VERSIONS[1]);
    let with_password = fleet.url().replace("reader@", "reader:not-a-password@");
    let output = import(&setup, &["--from", &with_password, "--dry-run"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("shows in the list of processes"), "{}", said(&output));
    assert!(said(&output).contains("Dry run: nothing was written"), "{}", said(&output));
    assert!(!said(&output).contains("not-a-password"), "{}", said(&output));

    let file = setup.folder().join("password");
    std::fs::write(&file, "not-a-password\n").unwrap();
    let mut quiet = import(&setup, &["--from-password-path", &file.display().to_string(), "--dry-run"]);
    let output = quiet.env("FLEET_IMPORT_FROM", fleet.url()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("warning:"), "{}", said(&output));

    let wrong = import(&setup, &["--from", &fleet.url()]).env("FLEET_IMPORT_PASSWORD", "another").output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(said(&wrong).contains("cannot read the database"), "{}", said(&wrong));
}
