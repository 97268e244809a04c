//! Requests, tasks, waits, pools and queues.

use std::collections::BTreeMap;

use super::thresholds::{LONG_REQUEST, LONG_TASK, LONG_WAIT, LONGEST_WAIT_EVER, NEAR_BOUND, TOLD};
use super::{NodeEntries, count};
use crate::commands::debug::facts::{NodeFigures, RequestsUnderWay, Waits};

const REQUESTS: &str = "requests.json";
const WAITS: &str = "waits.json";
const STATE: &str = "state.json";

/// The rest of a request.
const REQUEST_BODY: &str = "request body";

/// The outcome of a task that has not failed.
const DONE: &str = "done";

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
            entries.warning(REQUESTS, format!("the task {} has run for {:.0} s", task.name, task.seconds));
        }
        if let Some(outcome) = task.last_outcome.as_ref().filter(|outcome| *outcome != DONE) {
            entries.problem(REQUESTS, format!("the task {} has failed the last time: {outcome}", task.name));
        }
    }
    if activity.left_out > 0 {
        entries.note(REQUESTS, format!("{} more requests were under way and are not listed", activity.left_out));
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
            let text = format!(
                "all {} threads of the pool {} were busy, and {} waited for one",
                pool.threads, pool.name, pool.waiting
            );
            entries.problem(WAITS, text);
        }
    }
    for pool in report.connections.iter().filter(|pool| pool.max > 0 && pool.in_use >= pool.max) {
        entries.problem(WAITS, format!("all {} connections of the pool {} were in use", pool.max, pool.pool));
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
