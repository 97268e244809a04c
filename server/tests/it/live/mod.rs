//! Live queries: every target is accounted for, and every answer can be read, whoever watches and whenever.

mod accelerate;
mod accounting;
mod answers;
pub mod campaigns;
pub mod canaries;
mod discovery;
mod interleavings;
mod pace;
mod quiet;
mod restarts;
mod restored;
mod retention;
mod samples;
pub mod sockets;
mod viewers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_compat::TestAgent;
use muster_api::rest::{LiveAnswer, LiveCounts, LiveQuery, LiveQueryEnvelope};
use serde_json::{Value, json};

use crate::support::TestServer;

/// Agents do not read again before this while they may still be repeating an answer.
pub const RETRY_WINDOW: Duration = Duration::from_secs(25);

/// Hosts that are enrolled and have nothing else to answer.
pub async fn hosts(server: &TestServer, count: u32) -> Vec<TestAgent> {
    let mut agents = Vec::new();
    for index in 0..count {
        let mut agent = server.enrolled(index).await;
        crate::checkin::settle(&mut agent).await;
        agents.push(agent);
    }
    agents
}

/// Asks every host.
pub async fn ask(server: &TestServer, sql: &str) -> LiveQuery {
    start(server, json!({ "query": sql, "targets": { "all": true } })).await
}

pub async fn start(server: &TestServer, request: Value) -> LiveQuery {
    let answer = server.rest.post("live_queries", &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.read::<LiveQueryEnvelope>().live_query
}

/// Pauses or resumes a job, or changes its rate.
pub async fn change(server: &TestServer, id: i64, action: &str, body: Value) -> LiveQuery {
    let answer = server.rest.post(&format!("live_queries/{id}/{action}"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.read::<LiveQueryEnvelope>().live_query
}

pub async fn job(server: &TestServer, id: i64) -> LiveQuery {
    server.rest.read::<LiveQueryEnvelope>(&format!("live_queries/{id}")).await.live_query
}

/// The counts of a job, which always add up.
pub async fn counts(server: &TestServer, id: i64) -> LiveCounts {
    let counts = job(server, id).await.counts;
    let LiveCounts {
        targets,
        pending,
        sent,
        answered,
        failed,
        denylisted,
        skipped,
        suspect,
        lost,
        expired,
        cancelled,
        gone,
        ..
    } = counts;
    let sum = pending + sent + answered + failed + denylisted + skipped + suspect + lost + expired + cancelled + gone;
    assert_eq!(sum, targets, "{counts:?}");
    counts
}

/// The file in which the embedded bus keeps the answers of a job.
pub fn results_file(folder: &Path, id: i64) -> Option<PathBuf> {
    let mut paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let begins = format!("{id}-");
    paths.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&begins))
}

/// All answers behind a cursor.
pub async fn answers(server: &TestServer, id: i64, cursor: u64) -> Vec<LiveAnswer> {
    let text = server.rest.get(&format!("live_queries/{id}/results?cursor={cursor}")).await.text;
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}
