//! Requests, tasks, waits, pools and queues.

use std::collections::BTreeMap;

use super::thresholds::{BURST_WAIT, LONG_REQUEST, LONG_TASK, LONG_WAIT, LONGEST_WAIT_EVER, NEAR_BOUND, TOLD};
use super::{NodeEntries, count, duration, short};
use crate::commands::debug::facts::{DONE, NodeFigures, RequestsUnderWay, TaskNow, Waits};

const REQUESTS: &str = "requests.json";
const WAITS: &str = "waits.json";
const STATE: &str = "state.json";

/// The rest of a request.
const REQUEST_BODY: &str = "request body";

/// The begin of the outcome of a task that has failed.
const FAILED: &str = "failed: ";

/// The end of a refusal that may be another one the next time.
const AGAIN: &str = "; try again";

/// Waits for a connection of a pool have this in their name.
const CONNECTION: &str = "database connection";

/// Waits for a thread of a pool have this in their name.
const THREAD: &str = "pool thread";

pub fn find(entries: &mut NodeEntries<'_>) {
    requests(entries);
    waits(entries);
    figures(entries);
}

/// Waits of one kind.
#[derive(Default)]
struct Waiting {
    requests: usize,
    longest: f64,
    name: String,
}

fn requests(entries: &mut NodeEntries<'_>) {
    let Some(mut activity) = entries.json::<RequestsUnderWay>(REQUESTS) else { return };
    let mut waiting = BTreeMap::<&str, Waiting>::new();
    // What an archive itself asks for is no finding.
    activity.requests.retain(|request| request.kind != "debug");
    // What many tasks fail of is the cause of what follows.
    failed_tasks(entries, &activity.tasks);
    for request in &activity.requests {
        match (&request.waits_for, request.waits_seconds) {
            (Some(what), Some(seconds)) if seconds >= LONG_WAIT => {
                let of_kind = waiting.entry(what).or_default();
                of_kind.requests += 1;
                if seconds > of_kind.longest {
                    (of_kind.longest, of_kind.name) = (seconds, format!("{} {}", request.kind, request.name));
                }
            }
            _ => {}
        }
    }
    for (what, Waiting { requests, longest, name }) in waiting {
        let requests = count(requests, "request");
        let text = format!("{requests} waited for {what}, for up to {longest:.1} s ({name})");
        // The server waits for whoever sends it.
        if what == REQUEST_BODY {
            entries.warning(REQUESTS, text);
        } else {
            entries.problem(REQUESTS, text);
        }
    }
    let is_slow = |seconds: f64, waits_for: &Option<String>| seconds >= LONG_REQUEST && waits_for.is_none();
    let slow = activity.requests.iter().filter(|one| is_slow(one.seconds, &one.waits_for));
    for request in slow.take(TOLD) {
        let text = format!("the {} request {} has taken {:.1} s", request.kind, request.name, request.seconds);
        entries.warning(REQUESTS, text);
    }
    for task in &activity.tasks {
        if let (Some(what), Some(seconds)) = (&task.waits_for, task.waits_seconds.filter(|waited| *waited >= LONG_WAIT))
        {
            entries.problem(REQUESTS, format!("the task {} has waited for {what} for {seconds:.1} s", task.name));
        } else if task.state == "running" && task.seconds >= LONG_TASK {
            entries.warning(REQUESTS, format!("the task {} has run for {}", task.name, duration(task.seconds)));
        }
    }
    if activity.left_out > 0 {
        entries.note(REQUESTS, format!("{} more requests were under way and are not listed", activity.left_out));
    }
}

/// Tasks that failed, one line for each cause: the most frequent first.
fn failed_tasks(entries: &mut NodeEntries<'_>, tasks: &[TaskNow]) {
    let mut by_cause = BTreeMap::<&str, Vec<&str>>::new();
    for task in tasks {
        if let Some(outcome) = task.last_outcome.as_deref().filter(|outcome| *outcome != DONE) {
            let cause = outcome.strip_prefix(FAILED).unwrap_or(outcome);
            by_cause.entry(cause.strip_suffix(AGAIN).unwrap_or(cause)).or_default().push(&task.name);
        }
    }
    let mut causes: Vec<_> = by_cause.into_iter().collect();
    causes.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    for (cause, names) in causes {
        let text = match names.as_slice() {
            [name] => format!("the task {name} failed in its last run: {}", short(cause)),
            names => format!("{} tasks failed in their last run: {}", names.len(), short(cause)),
        };
        entries.problem(REQUESTS, text);
    }
}

fn waits(entries: &mut NodeEntries<'_>) {
    let Some(report) = entries.json::<Waits>(WAITS) else { return };
    for wait in &report.waits {
        let longest = wait.longest_now_seconds.unwrap_or_default();
        if wait.waiting_now > 0 && longest >= LONG_WAIT {
            let text = format!("{} wait for {}, the first for {longest:.1} s", wait.waiting_now, wait.waits_for);
            entries.problem(WAITS, text);
        } else if wait.max_seconds >= LONGEST_WAIT_EVER {
            let average = if wait.count > 0 { wait.total_seconds / wait.count as f64 } else { 0.0 };
            entries.note(
                WAITS,
                format!(
                    "the longest wait for {} since the start took {:.1} s (average {average:.3} s of {} waits)",
                    wait.waits_for, wait.max_seconds, wait.count
                ),
            );
        }
    }
    for pool in &report.pools {
        if pool.threads > 0 && pool.busy >= pool.threads && pool.waiting > 0 {
            let text = format!("all {} threads of the pool {} were busy", pool.threads, pool.name);
            full_pool(entries, &text, pool.waiting.unsigned_abs(), longest_now(&report, THREAD));
        }
    }
    // A pool that is just large enough is no trouble.
    let waiting: u64 =
        report.waits.iter().filter(|wait| wait.waits_for.contains(CONNECTION)).map(|wait| wait.waiting_now).sum();
    for pool in report.connections.iter().filter(|pool| pool.max > 0 && pool.in_use >= pool.max) {
        let text = format!("all {} connections of the pool {} were in use", pool.max, pool.pool);
        full_pool(entries, &text, waiting, longest_now(&report, CONNECTION));
    }
}

/// The longest wait now for something; `None` if the archive does not say.
fn longest_now(report: &Waits, what: &str) -> Option<f64> {
    let waits = report.waits.iter().filter(|wait| wait.waits_for.contains(what));
    waits.map(|wait| wait.longest_now_seconds.unwrap_or_default()).reduce(f64::max)
}

/// Tells of a pool that is full: a problem if somebody has waited for a place in it for more than a moment.
fn full_pool(entries: &mut NodeEntries<'_>, text: &str, waiting: u64, longest: Option<f64>) {
    match longest {
        _ if waiting == 0 => entries.note(WAITS, format!("{text}, and nobody waited for one")),
        Some(longest) if longest < BURST_WAIT => {
            entries.note(WAITS, format!("{text}, and {waiting} waited for one, for {:.0} ms so far", longest * 1000.0));
        }
        Some(longest) => {
            entries.problem(WAITS, format!("{text}, and {waiting} waited for one, the first for {longest:.1} s"))
        }
        None => entries.problem(WAITS, format!("{text}, and {waiting} waited for one")),
    }
}

fn figures(entries: &mut NodeEntries<'_>) {
    let Some(state) = entries.json::<NodeFigures>(STATE) else { return };
    for figure in state.figures {
        let Some(bound) = figure.bound.filter(|bound| *bound > 0.0) else { continue };
        let (value, name, unit) = (figure.value, &figure.name, &figure.unit);
        // A cache that is full works as it should.
        if name.contains("cache") || value < bound * NEAR_BOUND {
        } else if value >= bound {
            entries.problem(STATE, format!("{name} is full: {value} of {bound} {unit}"));
        } else {
            entries.warning(STATE, format!("{name} is nearly full: {value} of {bound} {unit}"));
        }
    }
}
