//! The load generator finds what is planted in a server and names it, and finds nothing in a server without faults.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

use std::process::Stdio;

use muster::clock::Clock;
use muster::config::{Bytes, Config, Planted};
use muster::{Lifecycle, serve};
use serde_json::Value;
use tokio::process::Command;

/// Exit code, results and output of `loadtest` against a server with faults.
struct Found {
    code: i32,
    results: Value,
    said: String,
}

impl Found {
    /// The thresholds that were passed, in one text.
    fn failed(&self) -> String {
        self.results["failed"].to_string()
    }

    fn number(&self, pointer: &str) -> u64 {
        self.results.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} in {}", self.results))
    }
}

/// 20 agents that deliver 60 lines five times a second, for six seconds: 30,000 lines and more.
async fn load(thresholds: &[&str], plant: impl FnOnce(&mut Planted)) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut config = Config::default();
    config.server.address = "127.0.0.1:0".to_owned();
    config.server.tls = false;
    config.server.workers = 1;
    config.sqlite.path = path("muster.db");
    config.filesystem.result_log_file = path("results");
    config.filesystem.status_log_file = path("statuses");
    config.osquery.max_config_cache = Bytes(16 << 20);
    plant(&mut config.planted);
    let lifecycle = Lifecycle::default();
    let running = serve(config, Clock::system(), lifecycle.clone()).await.unwrap();
    let url = format!("http://{}", running.address());
    let ran = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", "--quiet", "--setup", "--server", &url, "--agents=20", "--ramp=1s", "--duration=6s"])
        .args(["--lines=60", "--line-bytes=120", "--log-share=1", "--log-interval=200ms", "--status-share=0"])
        .args(["--config-interval=100ms", "--distributed-interval=1s", "--slow-ms=900"])
        .args(thresholds)
        .arg(format!("--json={}", path("results.json").display()))
        .arg(format!("--ledger={}", path("ledger").display()))
        .arg("--destination")
        .args([path("results"), path("statuses")])
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    lifecycle.stop();
    running.finished().await.unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let results = std::fs::read(path("results.json")).unwrap_or_else(|_| panic!("no results: {said}"));
    Found { code: ran.status.code().unwrap(), results: serde_json::from_slice(&results).unwrap(), said }
}

/// These and no other faults are named, in the results and to whoever looks.
fn assert_only(found: &Found, expected: &[&str]) {
    let failed = found.failed();
    assert_eq!(found.code, i32::from(!expected.is_empty()), "{failed} {}", found.said);
    for word in expected {
        assert!(failed.contains(word), "{word:?} is not named: {failed}");
        assert!(found.said.contains(word), "{word:?} is not said: {}", found.said);
    }
    for word in ["lost", "doubled", "wrong", "slow"].into_iter().filter(|word| !expected.contains(word)) {
        assert!(!failed.contains(word), "{failed}");
    }
}

#[tokio::test]
async fn a_server_without_faults_is_found_clean() {
    let found = load(&[], |_| {}).await;
    assert_only(&found, &[]);
    assert!(found.number("/verify/acknowledged") > 20_000, "{}", found.results);
    assert_eq!((found.number("/verify/lost"), found.number("/verify/doubled")), (0, 0));
}

#[tokio::test]
async fn one_lost_line_in_ten_thousand_is_found() {
    let found = load(&[], |planted| planted.drop_one_line_in = 10_000).await;
    assert_only(&found, &["lost"]);
    let lines = found.number("/verify/acknowledged");
    assert_eq!(found.number("/verify/lost"), lines / 10_000, "of {lines}");
}

#[tokio::test]
async fn doubled_lines_are_found() {
    let found = load(&[], |planted| planted.double_one_line_in = 3_000).await;
    assert_only(&found, &["doubled"]);
    let lines = found.number("/verify/acknowledged");
    assert_eq!(found.number("/verify/doubled"), lines / 3_000, "of {lines}");
}

#[tokio::test]
async fn one_request_in_a_hundred_that_waits_for_a_second_is_found() {
    let found = load(&["--max-slow=0.004"], |planted| planted.delay_one_request_in = 100).await;
    assert_only(&found, &["slow"]);
    // They stand out from the others, so it is not the machine that is slow.
    let time =
        |name: &str| found.results.pointer(&format!("/endpoints/config/service_ms/{name}")).and_then(Value::as_f64);
    assert!(time("p50").unwrap() < 900.0 && time("max").unwrap() >= 1000.0, "{}", found.results);
}

#[tokio::test]
async fn configs_of_other_hosts_are_found() {
    let found = load(&[], |planted| planted.mix_one_config_in = 50).await;
    assert_only(&found, &["wrong"]);
    assert!(found.number("/endpoints/config/errors_by_kind/wrong_config") > 0, "{}", found.results);
}
