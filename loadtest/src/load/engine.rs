//! One thread of the generator: a timer, a queue of what is due, and connections that take from it.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    task::LocalSet,
    time::{sleep_until, timeout},
};

use super::{
    fleet::{Begin, Fleet, Job, Micros, RequestOutcome, SentRequest, Then, ThreadReport},
    wire::{Connection, Target},
};
use agent_compat::agent::chance::{below, mix};

/// Timeout of a request of an agent, connecting included.
const DEADLINE: Duration = Duration::from_secs(16);
/// Period of the timer.
const TICK: Duration = Duration::from_millis(1);

/// Progress of one thread, read by others while it works.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub requests: AtomicU64,
    pub errors: AtomicU64,
    pub late: AtomicU64,
    pub slow: AtomicU64,
    /// Agents that have enrolled at least once.
    pub enrolled_agents: AtomicU64,
    pub configured: AtomicU64,
    pub in_flight: AtomicU64,
    pub waiting: AtomicU64,
    pub connections: AtomicU64,
}

/// One thread of the generator before it starts.
pub(super) struct Engine {
    pub target: Target,
    pub connections: usize,
    /// Whether connections are used for more than one request.
    pub keeps: bool,
    pub start: Instant,
    pub end: Micros,
    pub gauges: Arc<Gauges>,
}

struct Shared {
    engine: Engine,
    fleet: RefCell<Fleet>,
    queue: RefCell<VecDeque<Job>>,
    has_work: Notify,
    is_over: std::cell::Cell<bool>,
}

impl Engine {
    /// Lets the fleet live until the end, and waits for the answers that are owed then.
    pub fn run(self, fleet: Fleet) -> std::io::Result<ThreadReport> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Rc::new(Shared {
            fleet: RefCell::new(fleet),
            queue: RefCell::default(),
            has_work: Notify::new(),
            is_over: std::cell::Cell::new(false),
            engine: self,
        });
        let tasks = LocalSet::new();
        let workers: Vec<_> = (0..shared.engine.connections)
            .map(|number| tasks.spawn_local(work(Rc::clone(&shared), number as u64)))
            .collect();
        tasks.block_on(&runtime, async {
            keep_time(&shared).await;
            for worker in workers {
                // A worker that panicked has said so.
                let _ = worker.await;
            }
        });
        drop(tasks);
        let now = shared.engine.now();
        let mut shared = Rc::into_inner(shared).ok_or_else(|| std::io::Error::other("a worker is still there"))?;
        for job in shared.queue.get_mut().drain(..) {
            shared.fleet.get_mut().never_sent(job, now.min(shared.engine.end));
        }
        Ok(shared.fleet.into_inner().finish())
    }

    fn now(&self) -> Micros {
        micros(self.start.elapsed())
    }
}

/// Moves what comes due into the queue.
async fn keep_time(shared: &Shared) {
    let engine = &shared.engine;
    let mut tick = engine.start;
    let mut last_report = Micros::MAX;
    loop {
        let now = engine.now();
        if now >= engine.end {
            break;
        }
        let mut due = 0;
        {
            let mut queue = shared.queue.borrow_mut();
            let to = u32::try_from(now / 1000).unwrap_or(u32::MAX);
            shared.fleet.borrow_mut().wheel.advance(to, |job| {
                queue.push_back(job);
                due += 1;
            });
        }
        for _ in 0..due.min(engine.connections) {
            shared.has_work.notify_one();
        }
        if now / 250_000 != last_report {
            last_report = now / 250_000;
            report(shared);
        }
        tick = (tick + TICK).max(Instant::now());
        sleep_until(tick.into()).await;
    }
    report(shared);
    shared.is_over.set(true);
    shared.has_work.notify_waiters();
}

fn report(shared: &Shared) {
    let gauges = &shared.engine.gauges;
    let fleet = shared.fleet.borrow();
    let [requests, errors, late, slow] = fleet.sums();
    for (gauge, value) in [
        (&gauges.requests, requests),
        (&gauges.errors, errors),
        (&gauges.late, late),
        (&gauges.slow, slow),
        (&gauges.enrolled_agents, fleet.enrolled_agents),
        (&gauges.configured, fleet.configured),
        (&gauges.waiting, shared.queue.borrow().len() as u64),
    ] {
        gauge.store(value, Relaxed);
    }
}

/// One connection at a time, for whatever is due first.
async fn work(shared: Rc<Shared>, number: u64) {
    let engine = &shared.engine;
    let gauges = &engine.gauges;
    let mut wire = Wire::new(number, engine.target.addresses.len());
    while !shared.is_over.get() {
        let next = shared.queue.borrow_mut().pop_front();
        let Some(job) = next else {
            shared.has_work.notified().await;
            continue;
        };
        loop {
            let now = engine.now();
            let begin = shared.fleet.borrow_mut().begin(job, now, &mut wire.request);
            let Begin::Send { step, due } = begin else { break };
            gauges.in_flight.fetch_add(1, Relaxed);
            let sent = engine.now();
            let result = timeout(DEADLINE, wire.exchange(engine)).await;
            let done = engine.now();
            gauges.in_flight.fetch_sub(1, Relaxed);
            let mut exchange =
                SentRequest { step, due, sent, done, resent: false, bytes_out: wire.request.len(), bytes_in: 0 };
            let outcome = match result {
                Ok(Ok(received)) => {
                    exchange.resent = received.resent;
                    exchange.bytes_in = wire.answer.len();
                    RequestOutcome::Answer(&wire.answer[received.body])
                }
                Ok(Err(error)) => {
                    exchange.resent = true;
                    RequestOutcome::Broken(error.to_string())
                }
                Err(_) => RequestOutcome::Timeout,
            };
            let then = shared.fleet.borrow_mut().done(job, &exchange, &outcome);
            match then {
                Then::At(at) if at <= done && !shared.is_over.get() => {}
                then => {
                    shared.fleet.borrow_mut().set(job, then);
                    break;
                }
            }
        }
    }
    for connection in wire.open.into_iter().flatten() {
        connection.close().await;
    }
}

struct Wire {
    number: u64,
    /// The connection to each node, if there is one.
    open: Vec<Option<Connection>>,
    attempts: u64,
    connections: u64,
    request: Vec<u8>,
    answer: Vec<u8>,
}

struct Received {
    body: std::ops::Range<usize>,
    resent: bool,
}

impl Wire {
    fn new(number: u64, nodes: usize) -> Self {
        let open = std::iter::repeat_with(|| None).take(nodes).collect();
        Self { number, open, attempts: 0, connections: number, request: Vec::new(), answer: Vec::new() }
    }

    /// The node for the next attempt. Taking them in turn would keep step with the intervals of agents.
    fn node(&mut self) -> usize {
        self.attempts += 1;
        below(mix(self.number, self.attempts), 60, self.open.len() as u64) as usize
    }

    /// Sends the request; once more at once if the connection breaks, as agents and load balancers do.
    async fn exchange(&mut self, engine: &Engine) -> std::io::Result<Received> {
        match self.attempt(engine).await {
            Ok(body) => Ok(Received { body, resent: false }),
            Err(_) => Ok(Received { body: self.attempt(engine).await?, resent: true }),
        }
    }

    async fn attempt(&mut self, engine: &Engine) -> std::io::Result<std::ops::Range<usize>> {
        let node = self.node();
        // Whoever gives up an attempt drops its connection.
        let mut connection = match self.open[node].take() {
            Some(connection) => connection,
            None => {
                self.connections = self.connections.wrapping_add(1);
                engine.gauges.connections.fetch_add(1, Relaxed);
                engine.target.connect(self.connections, node).await?
            }
        };
        let answer = connection.exchange(&self.request, &mut self.answer).await?;
        if engine.keeps && !answer.closes {
            self.open[node] = Some(connection);
        } else {
            connection.close().await;
        }
        Ok(answer.body)
    }
}

pub(super) fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
