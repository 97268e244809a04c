//! The agents of one thread of the generator: the next request of each, and the judgement of the answer. No input or
//! output.

mod rounds;
mod send;
mod take;

use std::{rc::Rc, time::Duration};

use super::{
    buffer::{Buffer, LineCount},
    given::{Configs, ServedConfig},
    ledger::Account,
    lines::{Calendar, Stream},
    measure::{Endpoint, LATE, Tally, record},
    profile::Profile,
    slices::Slices,
    template::Template,
    wheel::Wheel,
    work::{Manner, Work, Works, happens},
};
use agent_compat::agent::{
    ExchangeStep, Thread,
    chance::{below, mix},
};

/// Microseconds since the start of the run.
pub(super) type Micros = u64;

const SECOND: Micros = 1_000_000;
/// Pause of a thread of an agent while another thread enrolls.
const ENROLLING: Micros = 100_000;

/// A thread of an agent, as timers and queues hold it.
pub(super) type Job = u32;

#[derive(Debug)]
struct ThreadState {
    /// When the next request is due.
    due: Micros,
    /// When the round it belongs to was due.
    beat: Micros,
    step: ExchangeStep,
    attempt: u8,
    enroll_attempt: u8,
}

/// One agent, in a few hundred bytes.
struct Light {
    number: u32,
    /// Whose names it has: its own number, unless it is a clone.
    identity: u32,
    kind: u16,
    is_slow: bool,
    has_results: bool,
    /// The thread that is enrolling; the others wait for it.
    enrolling: Option<Thread>,
    has_enrolled: bool,
    started_others: bool,
    threads: [ThreadState; 3],
    node_key: Box<str>,
    given: Option<Rc<ServedConfig>>,
    /// The etag of the last config that had one.
    etag: Box<str>,
    work: Option<Rc<Work>>,
    accelerated_until: Micros,
    /// Scheduled queries have been run up to this Unix second.
    ran_until_s: u64,
    results: Buffer,
    statuses: Buffer,
}

/// Whether there is a request to send.
pub(super) enum Begin {
    Send { step: ExchangeStep, due: Micros },
    Later,
}

/// When the next request of a job is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    At(Micros),
    Never,
}

/// Result of a request.
pub(super) enum RequestOutcome<'a> {
    Answer(&'a [u8]),
    Timeout,
    Broken(String),
}

/// Times and sizes of one exchange.
pub(super) struct SentRequest {
    pub step: ExchangeStep,
    pub due: Micros,
    pub sent: Micros,
    pub done: Micros,
    pub resent: bool,
    pub bytes_out: usize,
    pub bytes_in: usize,
}

/// The agents of one thread of the generator.
pub(super) struct Fleet {
    profile: Rc<Profile>,
    manner: Manner,
    templates: Vec<Template>,
    agents: Vec<Light>,
    pub wheel: Wheel,
    configs: Configs,
    works: Works,
    calendar: Calendar,
    body: Vec<u8>,
    /// Ramp and steady phase.
    tallies: [Vec<Tally>; 2],
    pub configured: u64,
    pub enrolled_agents: u64,
    lines: [LineCount; 2],
    slices: Slices,
}

impl Fleet {
    /// Every `parts`th agent of the fleet, beginning with number `part`.
    pub fn new(profile: Rc<Profile>, templates: Vec<(Template, u64)>, part: u32, parts: u32) -> Self {
        let total: u64 = templates.iter().map(|template| template.1).sum();
        let kind_of = |identity: u32| {
            let mut at = below(mix(profile.seed, u64::from(identity)), 40, total);
            templates.iter().position(|(_, weight)| {
                let here = at < *weight;
                at = at.wrapping_sub(*weight);
                here
            })
        };
        let mut wheel = Wheel::new();
        let mut agents = Vec::new();
        for index in (part..profile.agents).step_by(parts as usize) {
            let number = profile.first_agent + index;
            // Clones are the agents after the first one.
            let identity = if index <= profile.clones { profile.first_agent } else { number };
            let seed = mix(profile.seed, u64::from(number));
            let start = if profile.storm { 0 } else { profile.ramp * u64::from(index) / u64::from(profile.agents) };
            let thread = |step| ThreadState { due: start, beat: start, step, attempt: 1, enroll_attempt: 1 };
            wheel.insert((start / 1000) as u32, agents.len() as u32 * 4);
            agents.push(Light {
                number,
                identity,
                kind: kind_of(identity).unwrap_or(0) as u16,
                is_slow: happens(seed, 41, profile.slow_hosts),
                has_results: profile.log_interval > 0 && happens(seed, 42, profile.log_share),
                enrolling: None,
                has_enrolled: false,
                started_others: false,
                threads: [thread(ExchangeStep::Config), thread(ExchangeStep::Results), thread(ExchangeStep::Read)],
                node_key: "".into(),
                given: None,
                etag: "".into(),
                work: None,
                accelerated_until: 0,
                ran_until_s: 0,
                results: Buffer::default(),
                statuses: Buffer::default(),
            });
        }
        let manner = Manner {
            seed: profile.seed,
            label_flips: profile.label_flips,
            query_fails: profile.query_fails,
            query_empty: profile.query_empty,
            live_bytes: profile.live_bytes,
        };
        let tallies = || Endpoint::ALL.iter().map(|_| Tally::default()).collect();
        Self {
            slices: Slices::new(profile.slice),
            profile,
            manner,
            templates: templates.into_iter().map(|template| template.0).collect(),
            agents,
            wheel,
            configs: Configs::default(),
            works: Works::default(),
            calendar: Calendar::default(),
            body: Vec::new(),
            tallies: [tallies(), tallies()],
            configured: 0,
            enrolled_agents: 0,
            lines: Default::default(),
        }
    }

    /// Writes the next request of a job, head and body.
    pub fn begin(&mut self, job: Job, now: Micros, out: &mut Vec<u8>) -> Begin {
        let (at, thread) = split(job);
        let agent = &mut self.agents[at];
        let state = &mut agent.threads[thread as usize];
        if agent.node_key.is_empty() {
            if agent.enrolling.is_some_and(|other| other != thread) {
                state.due = now + ENROLLING;
                self.wheel.insert(wheel_time(state.due), job);
                return Begin::Later;
            }
            agent.enrolling = Some(thread);
            return self.write(at, ExchangeStep::Enroll, thread, now, out);
        }
        if state.step == ExchangeStep::Results && !self.deliver(at, now) {
            let then = self.rest(at, thread, now);
            self.set(job, then);
            return Begin::Later;
        }
        let step = self.agents[at].threads[thread as usize].step;
        self.write(at, step, thread, now, out)
    }

    /// Sets the timer of a job.
    pub fn set(&mut self, job: Job, then: Then) {
        if let Then::At(due) = then {
            self.wheel.insert(wheel_time(due), job);
        }
    }

    /// A request that had not begun when the run was over.
    pub fn never_sent(&mut self, job: Job, now: Micros) {
        let (at, thread) = split(job);
        let state = &self.agents[at].threads[thread as usize];
        let waited = Duration::from_micros(now.saturating_sub(state.due));
        if waited > LATE {
            let phase = usize::from(state.due >= self.profile.ramp);
            let tally = &mut self.tallies[phase][endpoint(state.step) as usize];
            tally.lateness(waited);
            record(&mut tally.latency, waited);
            tally.slow += u64::from(waited >= self.profile.slow);
            self.slices.record(state.due, endpoint(state.step), false, waited, false);
        }
    }

    /// Requests, faults, late starts and slow ones so far.
    pub fn sums(&self) -> [u64; 4] {
        let all = self.tallies.iter().flatten();
        all.fold([0; 4], |[requests, errors, late, slow], tally| {
            [requests + tally.requests, errors + tally.errors(), late + tally.late, slow + tally.slow]
        })
    }

    /// Ends the run: counts, latencies and the ledger of all agents.
    pub fn finish(self) -> ThreadReport {
        let mut ledger = Vec::new();
        for agent in self.agents {
            for (stream, buffer) in [(Stream::Results, agent.results), (Stream::Statuses, agent.statuses)] {
                if buffer.next() > 0 {
                    let (made, Buffer { acknowledged, unanswered, .. }) = (buffer.next(), buffer);
                    let account = Account { made, acknowledged, unanswered };
                    ledger.push(((agent.number, stream), account));
                }
            }
        }
        ThreadReport { tallies: self.tallies, lines: self.lines, slices: self.slices, ledger }
    }
}

/// Results of one thread of the generator.
pub(super) struct ThreadReport {
    pub tallies: [Vec<Tally>; 2],
    pub lines: [LineCount; 2],
    pub slices: Slices,
    pub ledger: Vec<((u32, Stream), Account)>,
}

fn endpoint(step: ExchangeStep) -> Endpoint {
    match step {
        ExchangeStep::Enroll => Endpoint::Enroll,
        ExchangeStep::Config => Endpoint::Config,
        ExchangeStep::Read => Endpoint::Read,
        ExchangeStep::Write => Endpoint::Write,
        ExchangeStep::Results | ExchangeStep::Statuses => Endpoint::Log,
    }
}

fn job(at: usize, thread: Thread) -> Job {
    at as u32 * 4 + thread as u32
}

fn split(job: Job) -> (usize, Thread) {
    ((job / 4) as usize, Thread::ALL[(job % 4) as usize])
}

/// Timers fire at the first whole millisecond that is not too early.
fn wheel_time(at: Micros) -> u32 {
    u32::try_from(at.div_ceil(1000)).unwrap_or(u32::MAX)
}
