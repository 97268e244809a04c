//! What Prometheus reads.

mod access;
mod bound;
mod charts;
mod counted;
pub mod exposition;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use muster::telemetry::metric_descriptions;

use self::exposition::MetricFamily;
use crate::rest::{DOCUMENTS, operations};
use crate::support::TestServer;

/// What `promtool` says of an input.
fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there; scripts/install-test-services installs it");
    // It says nothing before it has read all of it.
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    promtool.wait_with_output().unwrap()
}

/// Checks that `promtool` finds nothing to say about metrics.
fn assert_promtool_likes(text: &str) {
    let Output { status, stdout, stderr } = promtool(&["check", "metrics"], text);
    let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(status.success() && said.iter().all(String::is_empty), "{status}: {said:?}");
}

/// Checks that each family is what the documentation says.
fn assert_described(families: &[MetricFamily]) {
    let described: BTreeMap<_, _> = metric_descriptions().map(|metric| (metric.name, metric)).collect();
    for MetricFamily { name, help, kind, samples } in families {
        let metric = described.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not described"));
        assert_eq!((metric.help, metric.kind), (help.as_str(), kind.as_str()), "{name}");
        let labels: BTreeSet<&str> = metric.labels.iter().copied().collect();
        for sample in samples {
            let shown: BTreeSet<&str> =
                sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
            assert_eq!(shown, labels, "{sample:?}");
        }
    }
}

/// After every operation of operators, and most of what agents do.
#[tokio::test]
async fn every_series_is_well_formed_and_described() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    server.rest.apply_yaml(DOCUMENTS).await;
    agent.push_result_line(r#"{"line":1}"#);
    assert!(agent.flush_logs().await.iter().all(|exchange| exchange.verdict.is_success()));
    assert!(agent.config().await.verdict.is_success());
    agent.distributed().await;
    for operation in operations::all(&server).await {
        server.rest.send(operation.method, operation.path, operation.body.as_ref()).await;
        agent.distributed().await;
    }
    server.run_tasks().await;
    let answer = server.rest.anonymous().get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4");
    let families = exposition::parse(&answer.text);
    assert_described(&families);
    assert_promtool_likes(&answer.text);
}

#[test]
fn names_are_unique_and_the_page_has_all() {
    let page = include_str!("../../../../docs/metrics.md");
    let mut names = BTreeSet::new();
    for metric in metric_descriptions() {
        assert!(names.insert(metric.name), "{} is there twice", metric.name);
        assert!(
            page.contains(&format!("| `{}` | {} | ", metric.name, metric.kind)),
            "{}: run `make docs`",
            metric.name
        );
    }
    assert_eq!(page, muster::telemetry::metrics_page(), "run `make docs`");
}
