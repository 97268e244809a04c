//! `query pause`, `query resume`, `query promote` and `query rate`.

use muster_api::rest::{LiveQuery, LiveQueryEnvelope, LiveRate, LiveStatus};
use serde::Serialize;

use super::args::RateArgs;
use super::jobs::refusal;
use super::{answers, states};
use crate::output;
use crate::rest::RestClient;

pub async fn pause(server: &RestClient, id: i64) -> anyhow::Result<()> {
    change(server, id, "pause", &serde_json::json!({}), |job| format!("paused live query {id}; {}", shown(job))).await
}

pub async fn resume(server: &RestClient, id: i64) -> anyhow::Result<()> {
    change(server, id, "resume", &serde_json::json!({}), |job| format!("resumed live query {id}; {}", shown(job))).await
}

pub async fn promote(server: &RestClient, id: i64) -> anyhow::Result<()> {
    let done = |job: &LiveQuery| format!("live query {id} waits for canaries no longer; {}", shown(job));
    change(server, id, "promote", &serde_json::json!({}), done).await
}

pub async fn rate(server: &RestClient, args: RateArgs) -> anyhow::Result<()> {
    let (id, rate) = (args.job.id, args.rate);
    change(server, id, "rate", &LiveRate { rate }, |job| {
        let rate =
            if rate == 0 { "has no rate limit".to_owned() } else { format!("is given to {rate} hosts per second") };
        format!("live query {id} {rate}; {}", shown(job))
    })
    .await
}

/// How many hosts have been given a live query.
pub fn shown(job: &LiveQuery) -> String {
    format!("{} of {} targeted hosts have been given the query", job.given, job.counts.targets)
}

async fn change(
    server: &RestClient,
    id: i64,
    action: &str,
    body: &impl Serialize,
    done: impl FnOnce(&LiveQuery) -> String,
) -> anyhow::Result<()> {
    let before = answers::job(server, id).await.map_err(|error| refusal(error, id))?;
    if before.status != LiveStatus::Open {
        return output::line(&format!("[!] live query {id} is already {}", states::status(before.status)));
    }
    let path = format!("live_queries/{id}/{action}");
    let changed: Result<LiveQueryEnvelope, _> = server.post(&path, body).await;
    output::line(&format!("[+] {}", done(&changed?.live_query)))
}
