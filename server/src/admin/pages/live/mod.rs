//! Live queries: asking hosts now, watching the answers come, and what was asked before.

mod answer;
mod ask;
mod csv;
mod export;
mod job;
mod schema;
mod seats;
mod table;

pub(super) use self::ask::{page, start, targets};
pub(super) use self::export::{csv, json_lines, stream};
pub(super) use self::job::{cancel, hosts, page as job_page, part, pause, promote, resume};
pub(super) use self::schema::schema;
pub(super) use self::seats::Seats;

use maud::Markup;
use muster_api::rest::{LiveQuery, LiveStatus};

use super::parts::{Tone, badge, count, plural};

/// How a live query is, in a word.
pub(super) fn live_status(query: &LiveQuery) -> Markup {
    match query.status {
        LiveStatus::Open if query.paused => badge(Tone::Attention, "Paused"),
        LiveStatus::Open if waits_for_canaries(query) => badge(Tone::Unknown, "Canaries"),
        LiveStatus::Open => badge(Tone::Unknown, "Running"),
        LiveStatus::Complete => badge(Tone::Good, "Complete"),
        LiveStatus::Cancelled => badge(Tone::Unknown, "Cancelled"),
        LiveStatus::Stopped => badge(Tone::Bad, "Stopped"),
        LiveStatus::Expired => badge(Tone::Unknown, "Expired"),
    }
}

/// Whether targets wait for the canaries.
fn waits_for_canaries(query: &LiveQuery) -> bool {
    query.canaries.is_some_and(|canaries| canaries.until.is_some())
}

/// How far the canaries are, and how many hosts wait for them.
fn canary_line(query: &LiveQuery) -> Option<String> {
    let canaries = query.canaries.filter(|canaries| canaries.until.is_some())?;
    let (first, waiting) = (plural(canaries.hosts, "canary", "canaries"), plural(canaries.waiting, "host", "hosts"));
    let until = canaries.until?.format("%H:%M:%S UTC");
    Some(format!("{first} first, {} settled; {waiting} wait for them, until {until} at most", count(canaries.settled)))
}

/// How far a live query is, in numbers that add up.
pub(super) fn progress_line(query: &LiveQuery) -> String {
    let counts = &query.counts;
    let mut said = vec![format!("{} of {} answered", count(counts.answered), plural(counts.targets, "host", "hosts"))];
    let waiting = counts.pending + counts.sent;
    if waiting > 0 {
        let offline = waiting.saturating_sub(query.online_waiting);
        if query.online_waiting > 0 {
            said.push(format!("{} online and asked", count(query.online_waiting)));
        }
        if offline > 0 {
            let until = query.deadline.format("%H:%M UTC");
            said.push(format!("{} offline, asked when they return until {until}", count(offline)));
        }
    }
    for (number, word) in [
        (counts.failed, "failed"),
        (counts.denylisted, "refused, denylisted"),
        (counts.skipped, "skipped"),
        (counts.suspect, "stopped their worker"),
        (counts.lost, "lost"),
        (counts.expired, "did not answer in time"),
        (counts.cancelled, "cancelled"),
        (counts.gone, "deleted"),
    ] {
        if number > 0 {
            said.push(format!("{} {word}", count(number)));
        }
    }
    said.join(" · ")
}
