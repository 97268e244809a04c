//! Live queries asked while the load is on, and how fast the fleet answers.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::rest::Rest;

/// Period at which the counts are read.
const LOOK: Duration = Duration::from_millis(250);
/// Points of the curve that are kept.
const MAX_POINTS: usize = 400;

/// Progress of one live query over time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LiveCurve {
    /// The server's number of it.
    pub id: i64,
    /// Hosts that were asked.
    pub targets: u64,
    /// When, since the start of the run.
    pub asked_at_ms: u64,
    /// Milliseconds until so many in a hundred were settled; `None` if they never were.
    pub t50_ms: Option<u64>,
    /// Likewise.
    pub t90_ms: Option<u64>,
    /// Likewise.
    pub t99_ms: Option<u64>,
    /// Likewise.
    pub t100_ms: Option<u64>,
    /// Hosts by state at the last look; states without hosts are left out.
    pub states: BTreeMap<String, u64>,
    /// Milliseconds since the question, and targets settled.
    pub curve: Vec<(u64, u64)>,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Asks one live query of all hosts and watches it until it is settled or `until`.
pub(super) async fn watch(rest: &Rest, number: u32, start: Instant, until: Instant) -> LiveCurve {
    let asked = Instant::now();
    let mut curve = LiveCurve { asked_at_ms: millis(asked.duration_since(start)), ..LiveCurve::default() };
    if let Err(error) = follow(rest, number, asked, until, &mut curve).await {
        curve.error = Some(format!("{error:#}"));
    }
    curve
}

async fn follow(rest: &Rest, number: u32, asked: Instant, until: Instant, curve: &mut LiveCurve) -> anyhow::Result<()> {
    let question = json!({
        "query": format!("SELECT pid, name, path FROM processes WHERE on_disk = 0 -- load {number}"),
        "targets": {"all": true},
        "deadline_seconds": 3600,
    });
    let mut answer = rest.call("POST", "live_queries", Some(&question)).await?;
    let mut look = asked;
    loop {
        let (live, now) = (answer.get("live_query").context("no live query in the answer")?, Instant::now());
        let counts = live.get("counts").and_then(Value::as_object).context("no counts in the answer")?;
        let count = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        curve.id = live.get("id").and_then(Value::as_i64).unwrap_or(0);
        curve.targets = count("targets");
        let settled = curve.targets.saturating_sub(count("pending") + count("sent"));
        let took = millis(now.duration_since(asked));
        for (hundredths, time) in
            [(50, &mut curve.t50_ms), (90, &mut curve.t90_ms), (99, &mut curve.t99_ms), (100, &mut curve.t100_ms)]
        {
            if time.is_none() && curve.targets > 0 && settled * 100 >= curve.targets * hundredths {
                *time = Some(took);
            }
        }
        curve.states = counts
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_u64().filter(|count| *count > 0)?)))
            .filter(|(name, _)| name != "targets" && name != "truncated")
            .collect();
        if curve.curve.last().is_none_or(|(_, before)| *before != settled) && curve.curve.len() < MAX_POINTS {
            curve.curve.push((took, settled));
        }
        if live.get("status").and_then(Value::as_str) != Some("open") {
            return Ok(());
        }
        if now >= until {
            rest.call("POST", &format!("live_queries/{}/cancel", curve.id), None).await?;
            return Ok(());
        }
        look += LOOK;
        sleep_until(look.max(now)).await;
        answer = rest.call("GET", &format!("live_queries/{}", curve.id), None).await?;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
