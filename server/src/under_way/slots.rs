use std::borrow::Cow;
use std::cell::Cell;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use super::trace;
use super::waits::WaitsFor;
use crate::lock::lock;

/// Parts of the list. Threads choose one each.
const SHARDS: usize = 16;

/// Most work of a part that is told apart; more is only counted.
const MAX_SLOTS: usize = 4_096;

/// Most waits of one request that are told apart.
const MAX_WAITS: usize = 8;

/// Longest name of a request, in characters.
const MAX_NAME: usize = 200;

static SHARDED: [WorkShard; SHARDS] =
    [const { WorkShard(Mutex::new(SlotList { taken: Vec::new(), free: Vec::new() })) }; SHARDS];

/// Work under way for which there was no slot.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Tells the ids of this process from those of others, and of those before a restart.
static PREFIX: LazyLock<String> = LazyLock::new(|| format!("{:08x}", rand::random::<u32>()));

thread_local! {
    /// The part of the list that this thread uses.
    static SHARD: u8 = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        u8::try_from(THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS).unwrap_or_default()
    };

    /// Whose work this thread does.
    static CURRENT: Cell<Option<WorkSlot>> = const { Cell::new(None) };
}

/// Shares no line of the processors' caches with another.
#[repr(align(128))]
struct WorkShard(Mutex<SlotList>);

struct SlotList {
    taken: Vec<Entry>,
    free: Vec<u16>,
}

/// Work at a slot, or a free one: then nobody holds it.
struct Entry {
    holders: u32,
    /// How often the slot was taken.
    uses: u64,
    kind: WorkKind,
    name: Cow<'static, str>,
    given_id: Option<Box<str>>,
    since: Instant,
    /// In the order in which they began.
    waits: Vec<(WaitsFor, Instant)>,
}

/// Where work stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WorkSlot {
    shard: u8,
    number: u16,
}

/// Kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// A request of an agent.
    Agent,
    /// A request of an operator or of a machine such as Prometheus.
    Operator,
    /// A request for an item of `/debug`.
    Debug,
    /// A run of a periodic task.
    Task,
    /// A wait of work that does not tell what it is, such as what several requests share.
    Unnamed,
}

impl WorkKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Operator => "operator",
            Self::Debug => "debug",
            Self::Task => "task",
            Self::Unnamed => "shared",
        }
    }
}

/// Work that shows in the list until this and all its clones are dropped. Beyond a bound it is only counted.
#[derive(Debug)]
pub struct Ongoing(Option<WorkSlot>);

impl Ongoing {
    pub fn begin(kind: WorkKind, name: impl Into<Cow<'static, str>>, since: Instant) -> Self {
        Self(WorkSlot::take(kind, name.into(), None, since, None))
    }

    /// A request of an agent, whose body is still to come ([`Ongoing::has_body`]).
    pub fn of_agent(name: &'static str, since: Instant) -> Self {
        Self(WorkSlot::take(WorkKind::Agent, Cow::Borrowed(name), None, since, Some(WaitsFor::RequestBody)))
    }

    /// A request with an id. The name is cut at 200 characters.
    pub fn with_id(kind: WorkKind, mut name: String, id: &str, since: Instant) -> Self {
        if let Some((end, _)) = name.char_indices().nth(MAX_NAME) {
            name.truncate(end);
        }
        Self(WorkSlot::take(kind, name.into(), Some(id.into()), since, None))
    }

    /// The work that this thread does, held once more. `None` if that has not told what it is.
    pub fn current() -> Option<Self> {
        let slot = current()?;
        slot.with(|entry| entry.holders += 1);
        Some(Self(Some(slot)))
    }

    /// Work that is a part of what this thread does now, wherever it is done.
    pub fn part<F: Future>(work: F) -> impl Future<Output = F::Output> {
        let ongoing = Self::current();
        async move {
            match ongoing {
                Some(ongoing) => ongoing.run(work).await,
                None => work.await,
            }
        }
    }

    /// The id of the request that this thread works for.
    pub fn current_id() -> Option<String> {
        let slot = current()?;
        slot.with(|entry| match entry.kind {
            WorkKind::Agent | WorkKind::Operator | WorkKind::Debug => Some(entry.id(slot)),
            WorkKind::Task | WorkKind::Unnamed => None,
        })
    }

    /// Notes that the body of the request that this thread works for has come.
    pub fn has_body() {
        if let Some(slot) = current() {
            slot.with(|entry| entry.waits.retain(|(what, _)| *what != WaitsFor::RequestBody));
        }
    }

    /// This thread does this work until the guard is dropped.
    pub fn enter(&self) -> Entered {
        Entered(CURRENT.replace(self.0))
    }

    /// Does the work.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let _entered = self.enter();
            work.as_mut().poll(context)
        })
        .await
    }

    pub(super) fn slot(&self) -> Option<WorkSlot> {
        self.0
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        match self.0 {
            Some(slot) => slot.leave(),
            None => drop(LEFT_OUT.fetch_sub(1, Ordering::Relaxed)),
        }
    }
}

/// Gives the thread back to what it did before.
#[derive(Debug)]
pub struct Entered(Option<WorkSlot>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

pub(super) fn current() -> Option<WorkSlot> {
    CURRENT.get()
}

/// An id for a request that brings none.
pub fn new_request_id() -> String {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    format!("{}-r{:x}", *PREFIX, REQUESTS.fetch_add(1, Ordering::Relaxed))
}

impl Entry {
    fn id(&self, slot: WorkSlot) -> String {
        match &self.given_id {
            Some(id) => id.to_string(),
            None => format!("{}-{:x}-{:x}", *PREFIX, slot.row(), self.uses),
        }
    }
}

impl WorkSlot {
    fn take(
        kind: WorkKind,
        name: Cow<'static, str>,
        given_id: Option<Box<str>>,
        since: Instant,
        waits_for: Option<WaitsFor>,
    ) -> Option<Self> {
        let shard = SHARD.with(|shard| *shard);
        let mut slots = lock(&SHARDED[usize::from(shard)].0);
        let number = match slots.free.pop() {
            Some(number) => number,
            None if slots.taken.len() < MAX_SLOTS => {
                let name = Cow::Borrowed("");
                slots.taken.push(Entry { holders: 0, uses: 0, kind, name, given_id: None, since, waits: Vec::new() });
                u16::try_from(slots.taken.len() - 1).unwrap_or_default()
            }
            None => {
                LEFT_OUT.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        };
        let entry = &mut slots.taken[usize::from(number)];
        (entry.holders, entry.kind, entry.name, entry.given_id, entry.since) = (1, kind, name, given_id, since);
        entry.uses += 1;
        entry.waits.clear();
        entry.waits.extend(waits_for.map(|what| (what, since)));
        Some(Self { shard, number })
    }

    fn with<T>(self, act: impl FnOnce(&mut Entry) -> T) -> T {
        act(&mut lock(&SHARDED[usize::from(self.shard)].0).taken[usize::from(self.number)])
    }

    fn leave(self) {
        let mut slots = lock(&SHARDED[usize::from(self.shard)].0);
        let entry = &mut slots.taken[usize::from(self.number)];
        entry.holders -= 1;
        if entry.holders > 0 {
            return;
        }
        let span = (trace::is_on() && entry.kind != WorkKind::Unnamed)
            .then(|| (entry.name.clone(), entry.kind.word(), entry.id(self), entry.since));
        slots.free.push(self.number);
        drop(slots);
        if let Some((name, category, id, since)) = span {
            trace::ended(self.row(), name, category, id, since);
        }
    }

    /// A number for each slot. What is done at one slot follows each other.
    pub(super) fn row(self) -> u32 {
        (u32::from(self.shard) << 16) | u32::from(self.number)
    }

    pub(super) fn add_wait(self, what: WaitsFor, since: Instant) {
        self.with(|entry| {
            if entry.waits.len() < MAX_WAITS {
                entry.waits.push((what, since));
            }
        });
    }

    /// Removes a wait, if it is there: the slot may be another's by now. Gives the id of the request while a trace is taken.
    pub(super) fn remove_wait(self, what: WaitsFor, since: Instant) -> Option<String> {
        self.with(|entry| {
            let position = entry.waits.iter().position(|wait| *wait == (what, since))?;
            entry.waits.remove(position);
            trace::is_on().then(|| entry.id(self))
        })
    }
}

/// Work that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkInProgress {
    pub id: String,
    /// As [`TraceSpan::row`].
    pub row: u32,
    pub kind: WorkKind,
    /// The endpoint of an agent, the task, or method and path.
    pub name: Cow<'static, str>,
    pub since: Instant,
    /// The oldest first.
    pub waits: Vec<(WaitsFor, Instant)>,
}

/// All work that is under way at about one moment.
#[derive(Debug, Default)]
pub struct WorkNow {
    /// The oldest first.
    pub works: Vec<WorkInProgress>,
    /// Work that is only counted.
    pub left_out: u64,
}

/// What is under way. Takes as long as there is much of it, and holds up the threads that answer agents a part at a time.
pub fn snapshot() -> WorkNow {
    let mut works = Vec::new();
    for (shard, slots) in (0..).zip(&SHARDED) {
        let slots = lock(&slots.0);
        for (number, entry) in (0..).zip(&slots.taken).filter(|(_, entry)| entry.holders > 0) {
            let slot = WorkSlot { shard, number };
            works.push(WorkInProgress {
                id: entry.id(slot),
                row: slot.row(),
                kind: entry.kind,
                name: entry.name.clone(),
                since: entry.since,
                waits: entry.waits.clone(),
            });
        }
    }
    works.sort_by_key(|work| work.since);
    WorkNow { works, left_out: LEFT_OUT.load(Ordering::Relaxed) }
}
