//! What this node does and waits for.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use actix_web::http::header::ContentType;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse, Route};
use muster_api::rest::debug::{
    ConnectionsInUse, RequestUnderWay, RequestsUnderWay, TaskNow, ThreadPool, TraceEvent, TraceFile, WaitTotals, Waits,
};
use serde_json::{Map, Value, json};

use super::DebugApi;
use super::caller::DebugCaller;
use super::params::seconds;
use super::refusal::{DebugAnswer, DebugRefusal};
use crate::clock::Moment;
use crate::fleet::Error;
use crate::telemetry::{PoolFigures, redacted};
use crate::under_way::{
    TraceSpan, WaitFigures, WorkInProgress, WorkKind, WorkNow, snapshot, start_trace, wait_figures,
};

/// Requests in an answer. One of as many takes 3 MB.
const MAX_REQUESTS: usize = 10_000;

/// Seconds that a trace takes unless the request says otherwise, and the most it may take.
const TRACE: (u64, u64) = (1, 10);

pub(super) fn requests() -> Route {
    web::get().to(list_requests)
}

pub(super) fn requests_text() -> Route {
    web::get().to(write_requests)
}

pub(super) fn waits() -> Route {
    web::get().to(list_waits)
}

pub(super) fn waits_text() -> Route {
    web::get().to(write_waits)
}

pub(super) fn trace() -> Route {
    web::get().to(take_trace)
}

async fn list_requests(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    Ok(HttpResponse::Ok().json(requests_now(&api)))
}

async fn write_requests(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(requests_as_text(&requests_now(&api))))
}

async fn list_waits(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    Ok(HttpResponse::Ok().json(waits_now(&api)))
}

async fn write_waits(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(waits_as_text(&waits_now(&api))))
}

async fn take_trace(_: DebugCaller, api: Data<DebugApi>, request: HttpRequest) -> DebugAnswer {
    let length = seconds(&request, TRACE)?;
    let entry = api.enter()?;
    let trace = start_trace().ok_or_else(|| DebugRefusal::Busy {
        reason: "another trace is being taken".to_owned(),
        retry_after: Duration::from_secs(TRACE.1),
    })?;
    tokio::time::sleep(length).await;
    let (spans, left_out) = trace.finish();
    let node = api.fleet.node.id().to_owned();
    let file = entry.run(move || serde_json::to_vec(&trace_file(&node, length.as_secs(), spans, left_out))).await;
    let file = file.map_err(|error| Error::Internal(error.into()))?.map_err(|error| Error::Internal(error.into()))?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(file))
}

fn trace_file(node: &str, seconds: u64, spans: Vec<TraceSpan>, left_out: u64) -> TraceFile {
    let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
    let event = |span: TraceSpan| TraceEvent {
        name: span.name.into_owned(),
        cat: span.category.to_owned(),
        ph: "X".to_owned(),
        ts: micros(span.since),
        dur: micros(span.took),
        pid: 1,
        tid: span.row,
        args: Map::from_iter([("id".to_owned(), Value::from(span.id))]),
    };
    let other = json!({ "node": node, "seconds": seconds, "left_out": left_out });
    TraceFile {
        events: spans.into_iter().map(event).collect(),
        display_time_unit: "ms".to_owned(),
        other: other.as_object().cloned().unwrap_or_default(),
    }
}

/// Now, by the clock that people read and by the one that measures.
#[derive(Debug, Clone, Copy)]
struct Now {
    clock: Moment,
    instant: Instant,
}

impl Now {
    fn of(api: &DebugApi) -> Self {
        Self { clock: api.fleet.clock.now(), instant: Instant::now() }
    }

    fn seconds_since(self, since: Instant) -> f64 {
        self.instant.saturating_duration_since(since).as_secs_f64()
    }

    fn moment(self, since: Instant) -> Moment {
        self.clock.minus(self.instant.saturating_duration_since(since))
    }
}

fn requests_now(api: &DebugApi) -> RequestsUnderWay {
    let (now, WorkNow { works, left_out }) = (Now::of(api), snapshot());
    let (tasks, mut works): (Vec<_>, Vec<_>) = works.into_iter().partition(|work| work.kind == WorkKind::Task);
    works.retain(|work| work.kind != WorkKind::Unnamed);
    let left_out = left_out + works.len().saturating_sub(MAX_REQUESTS) as u64;
    let request = |work: &WorkInProgress| {
        let (waits_for, waits_seconds) = first_wait(work, now);
        RequestUnderWay {
            id: work.id.clone(),
            kind: work.kind.word().to_owned(),
            name: work.name.to_string(),
            since: now.moment(work.since).to_utc(),
            seconds: now.seconds_since(work.since),
            waits_for,
            waits_seconds,
        }
    };
    let requests = works.iter().take(MAX_REQUESTS).map(request).collect();
    let node = api.fleet.node.id().to_owned();
    RequestsUnderWay { node, at: now.clock.to_utc(), requests, tasks: tasks_now(api, now, &tasks), left_out }
}

/// The wait that began first.
fn first_wait(work: &WorkInProgress, now: Now) -> (Option<String>, Option<f64>) {
    work.waits.first().map(|(what, since)| (what.word().to_owned(), now.seconds_since(*since))).unzip()
}

/// The tasks that run, and those that have run.
fn tasks_now(api: &DebugApi, now: Now, running: &[WorkInProgress]) -> Vec<TaskNow> {
    let latest = api.fleet.task_runs.latest();
    let outcome = |name: &str| {
        let run = latest.iter().find(|(task, _)| *task == name).map(|(_, run)| run)?;
        Some(run.failure.as_ref().map_or_else(|| "done".to_owned(), |failure| redacted(failure).into_owned()))
    };
    let run = |work: &WorkInProgress| {
        let (waits_for, waits_seconds) = first_wait(work, now);
        TaskNow {
            name: work.name.to_string(),
            state: "running".to_owned(),
            since: now.moment(work.since).to_utc(),
            seconds: now.seconds_since(work.since),
            last_outcome: outcome(&work.name),
            waits_for,
            waits_seconds,
        }
    };
    let mut tasks: Vec<_> = running.iter().map(run).collect();
    let idle = latest.iter().filter(|(task, _)| !running.iter().any(|work| work.name == *task));
    tasks.extend(idle.map(|(task, run)| TaskNow {
        name: (*task).to_owned(),
        state: "idle".to_owned(),
        since: run.ended_at.to_utc(),
        seconds: now.clock.since(run.ended_at).as_secs_f64(),
        last_outcome: outcome(task),
        waits_for: None,
        waits_seconds: None,
    }));
    tasks
}

fn waits_now(api: &DebugApi) -> Waits {
    let now = Now::of(api);
    let wait = |figures: WaitFigures| WaitTotals {
        waits_for: figures.what.word().to_owned(),
        waiting_now: figures.waiting_now,
        longest_now_seconds: figures.longest_since.map(|since| now.seconds_since(since)),
        count: figures.count,
        total_seconds: figures.total.as_secs_f64(),
        max_seconds: figures.max.as_secs_f64(),
    };
    let pool = |pool: PoolFigures| {
        let PoolFigures { name, max: threads, in_use: busy, other: waiting } = pool;
        ThreadPool { name, threads, busy, waiting }
    };
    let connections = |pool: PoolFigures| {
        let PoolFigures { name: pool, max, in_use, other: idle } = pool;
        ConnectionsInUse { pool, max, in_use, idle }
    };
    Waits {
        waits: wait_figures(&snapshot()).into_iter().map(wait).collect(),
        pools: api.metrics.thread_pools().into_iter().map(pool).collect(),
        connections: api.metrics.connection_pools().into_iter().map(connections).collect(),
    }
}

fn requests_as_text(now: &RequestsUnderWay) -> String {
    let waiting = |what: &Option<String>, seconds: Option<f64>| match (what, seconds) {
        (Some(what), Some(seconds)) => format!("waits for {what} ({seconds:.3} s)"),
        _ => "works".to_owned(),
    };
    let mut text = format!("node {} at {}\n\n{} requests\n", now.node, now.at.to_rfc3339(), now.requests.len());
    for request in &now.requests {
        let RequestUnderWay { id, kind, name, seconds, waits_for, waits_seconds, .. } = request;
        let _ = writeln!(text, "{seconds:>10.3} s  {kind}  {name}  {}  {id}", waiting(waits_for, *waits_seconds));
    }
    if now.left_out > 0 {
        let _ = writeln!(text, "and {} more", now.left_out);
    }
    let _ = writeln!(text, "\n{} tasks", now.tasks.len());
    for task in &now.tasks {
        let TaskNow { name, state, seconds, last_outcome, waits_for, waits_seconds, .. } = task;
        let does = if state == "idle" { String::new() } else { waiting(waits_for, *waits_seconds) };
        let last = last_outcome.as_deref().unwrap_or("none");
        let _ = writeln!(text, "{seconds:>10.3} s  {state}  {name}  {does}  last run: {last}");
    }
    text
}

fn waits_as_text(now: &Waits) -> String {
    let mut text = "waits since the start: count, total and longest in s; now waiting, longest in s\n".to_owned();
    for wait in &now.waits {
        let WaitTotals { waits_for, waiting_now, longest_now_seconds, count, total_seconds, max_seconds } = wait;
        let longest = longest_now_seconds.unwrap_or_default();
        let _ = writeln!(
            text,
            "{count:>12} {total_seconds:>14.3} {max_seconds:>10.3} {waiting_now:>8} {longest:>10.3}  {waits_for}"
        );
    }
    text.push_str("\npools of threads: busy of all, waiting\n");
    for ThreadPool { name, threads, busy, waiting } in &now.pools {
        let _ = writeln!(text, "{busy:>6} of {threads:<6} {waiting:>6}  {name}");
    }
    text.push_str("\nconnections to the database: in use and idle of the most there may be\n");
    for ConnectionsInUse { pool, max, in_use, idle } in &now.connections {
        let _ = writeln!(text, "{in_use:>6} and {idle:<6} of {max:<6}  {pool}");
    }
    text
}
