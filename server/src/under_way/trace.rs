//! A record of requests, tasks and waits for some seconds. While none is taken it costs a look at one flag.

use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::slots::{WorkKind, snapshot};
use crate::lock::lock;

/// Most spans of a record; more are counted. One of as many takes some 7 MB as JSON.
const MAX_SPANS: usize = 50_000;

static IS_ON: AtomicBool = AtomicBool::new(false);
static TRACE: Mutex<Option<Taken>> = Mutex::new(None);

struct Taken {
    began: Instant,
    spans: Vec<TraceSpan>,
    left_out: u64,
}

/// Something that took some time: a request, a task, or a wait of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSpan {
    /// What follows each other has one row, and so have a request and its waits.
    pub row: u32,
    pub name: Cow<'static, str>,
    /// The kind of work, or `wait`.
    pub category: &'static str,
    /// Of the request or task.
    pub id: String,
    /// Since the beginning of the trace.
    pub since: Duration,
    pub took: Duration,
}

/// A trace under way. Dropping it ends it.
#[derive(Debug)]
pub struct Trace(());

/// Begins a trace, unless one is under way.
pub fn start_trace() -> Option<Trace> {
    let mut trace = lock(&TRACE);
    if trace.is_some() {
        return None;
    }
    *trace = Some(Taken { began: Instant::now(), spans: Vec::new(), left_out: 0 });
    IS_ON.store(true, Ordering::Relaxed);
    Some(Trace(()))
}

impl Trace {
    /// What has ended since the beginning, what is still under way, and how much there was no room for.
    pub fn finish(self) -> (Vec<TraceSpan>, u64) {
        for work in snapshot().works.into_iter().filter(|work| work.kind != WorkKind::Unnamed) {
            for (what, since) in work.waits {
                ended(work.row, what.word().into(), "wait", work.id.clone(), since);
            }
            ended(work.row, work.name, work.kind.word(), work.id, work.since);
        }
        // The trace itself ends when `self` is dropped: no other may begin before.
        let mut trace = lock(&TRACE);
        trace.as_mut().map_or_else(Default::default, |taken| (std::mem::take(&mut taken.spans), taken.left_out))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        IS_ON.store(false, Ordering::Relaxed);
        *lock(&TRACE) = None;
    }
}

pub(super) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// Records what ends now.
pub(super) fn ended(row: u32, name: Cow<'static, str>, category: &'static str, id: String, since: Instant) {
    let now = Instant::now();
    let mut trace = lock(&TRACE);
    let Some(taken) = trace.as_mut() else { return };
    if taken.spans.len() >= MAX_SPANS {
        taken.left_out += 1;
        return;
    }
    // What began before counts from the beginning of the trace.
    let since = since.max(taken.began);
    let took = now.saturating_duration_since(since);
    let since = since.saturating_duration_since(taken.began);
    taken.spans.push(TraceSpan { row, name, category, id, since, took });
}
