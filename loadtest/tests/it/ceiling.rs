//! The ceiling answers agents and keeps what they log.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use agent_compat::{TestAgent, transport::Trust};

/// Ends when it goes out of scope.
struct Ceiling {
    child: Child,
    host: String,
}

impl Ceiling {
    fn start(flags: &[String]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ceiling"))
            .args(flags)
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        let host = said.map_while(Result::ok).find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()));
        Self { child, host: host.unwrap() }
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn requests_are_spread_over_nodes_and_told_apart_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results.json");
    let logs = ["one", "two"].map(|name| folder.path().join(name));
    let nodes = logs.each_ref().map(|log| Ceiling::start(&[format!("--log-file={}", log.display())]));
    let ran = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", "--quiet", "--enroll-secret=any", "--agents=20", "--ramp=100ms", "--duration=2s"])
        .args(["--log-interval=100ms", "--log-share=1", "--status-share=1", "--slices=500ms"])
        .args(nodes.each_ref().map(|node| format!("--server=http://{}", node.host)))
        .arg(format!("--json={}", results.display()))
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(ran.success());
    for log in logs {
        assert!(std::fs::metadata(&log).unwrap().len() > 1000, "{} got little", log.display());
    }
    let results: serde_json::Value = serde_json::from_slice(&std::fs::read(results).unwrap()).unwrap();
    assert_eq!(results["slices"]["length_ms"], 500);
    let slices = results["slices"]["slices"].as_array().unwrap();
    assert!((4..=5).contains(&slices.len()), "{}", slices.len());
    let counted = slices.iter().filter_map(|slice| slice["log"]["latency_us"].as_array()).flatten();
    let counted: u64 = counted.map(|step| step[1].as_u64().unwrap()).sum();
    let requests = results["whole_run"]["log"]["requests"].as_u64().unwrap();
    assert!(requests > 0 && counted >= requests, "{counted} of {requests}");
}

#[tokio::test]
async fn agents_are_content_and_log_bodies_are_in_the_file_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("cert"), made.cert.pem()).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(path("read"), r#"{"queries":{"q1":"select 1"}}"#).unwrap();
    let flags = [
        format!("--cert={}", path("cert")),
        format!("--key={}", path("key")),
        format!("--log-file={}", path("log")),
        format!("--read-answer={}", path("read")),
    ];
    let ceiling = Ceiling::start(&flags);
    let url = format!("https://{}", ceiling.host);
    let mut agent = TestAgent::simulated(1, "any", &url, &Trust::CaFile(path("cert").into())).unwrap();
    assert!(agent.enroll().await.verdict.is_success());
    assert!(agent.config().await.verdict.is_success());
    let round = agent.distributed().await;
    assert!(round.write.is_some_and(|write| write.verdict.is_success()));
    agent.push_result_line(r#"{"line":1}"#);
    for exchange in agent.flush_logs().await {
        assert!(exchange.verdict.is_success());
    }
    let kept = std::fs::read_to_string(path("log")).unwrap();
    assert!(kept.contains("\"log_type\"") && kept.contains("line"), "{kept}");
}
