//! The agents of one thread: what each sends next, and what it makes of the answer. No input or output.

use std::{io::Write as _, rc::Rc, time::Duration};

use super::{
    buffer::{Buffer, LineCount},
    given::{Configs, Given},
    lines::{self, Calendar, Stream, Tag},
    measure::{Endpoint, Fault, LATE, Tally, record},
    profile::Profile,
    template::Template,
    wheel::Wheel,
    work::{self, Answerer, Manner, Work, Works, happens},
};
use crate::{
    Verdict,
    agent::{
        Door, Step, Version,
        chance::{below, mix},
    },
};

/// Microseconds since the start of the run.
pub(super) type Micros = u64;

const SECOND: Micros = 1_000_000;
/// How long a thread of an agent waits while another one enrolls.
const ENROLLING: Micros = 100_000;
/// Attempts of a config, read or write, with pauses of 1 s and 4 s between.
const ATTEMPTS: u8 = 3;
/// Between reads while the server asked for more.
const ACCELERATED: Micros = 5 * SECOND;
/// The longest pause between attempts to enroll.
const ENROLL_PAUSE: u64 = 600;

/// A thread of an agent; each does one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Config,
    Distributed,
    Logger,
}

const LANES: [Lane; 3] = [Lane::Config, Lane::Distributed, Lane::Logger];

/// An agent's lane, as timers and queues hold it.
pub(super) type Job = u32;

#[derive(Debug)]
struct LaneState {
    /// When the next request is due.
    due: Micros,
    /// When the round it belongs to was due.
    beat: Micros,
    step: Step,
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
    enrolling: Option<Lane>,
    has_enrolled: bool,
    started_others: bool,
    lanes: [LaneState; 3],
    node_key: Box<str>,
    given: Option<Rc<Given>>,
    work: Option<Rc<Work>>,
    accelerated_until: Micros,
    /// Scheduled queries have been run up to this Unix second.
    ran_until_s: u64,
    results: Buffer,
    statuses: Buffer,
}

/// What to send.
pub(super) enum Begin {
    Send { step: Step, due: Micros },
    Later,
}

/// What comes next for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    At(Micros),
    Never,
}

/// What came of a request.
pub(super) enum Outcome<'a> {
    Answer(&'a [u8]),
    Timeout,
    Broken(String),
}

/// Times and sizes of one exchange.
pub(super) struct Exchange {
    pub step: Step,
    pub due: Micros,
    pub sent: Micros,
    pub done: Micros,
    pub resent: bool,
    pub bytes_out: usize,
    pub bytes_in: usize,
}

/// The agents of one thread.
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
}

impl Fleet {
    /// The agents whose turn in the fleet is `part` of `parts`.
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
            let lane = |step| LaneState { due: start, beat: start, step, attempt: 1, enroll_attempt: 1 };
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
                lanes: [lane(Step::Config), lane(Step::Read), lane(Step::Results)],
                node_key: "".into(),
                given: None,
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
        let (at, lane) = split(job);
        let agent = &mut self.agents[at];
        let state = &mut agent.lanes[lane as usize];
        if agent.node_key.is_empty() {
            if agent.enrolling.is_some_and(|other| other != lane) {
                state.due = now + ENROLLING;
                self.wheel.insert(wheel_time(state.due), job);
                return Begin::Later;
            }
            agent.enrolling = Some(lane);
            return self.write(at, Step::Enroll, lane, now, out);
        }
        if state.step == Step::Results && !self.deliver(at, now) {
            let then = self.rest(at, lane, now);
            self.set(job, then);
            return Begin::Later;
        }
        let step = self.agents[at].lanes[lane as usize].step;
        self.write(at, step, lane, now, out)
    }

    /// Sets the timer of a job.
    pub fn set(&mut self, job: Job, then: Then) {
        if let Then::At(due) = then {
            self.wheel.insert(wheel_time(due), job);
        }
    }

    fn write(&mut self, at: usize, step: Step, lane: Lane, now: Micros, out: &mut Vec<u8>) -> Begin {
        let agent = &mut self.agents[at];
        let template = &mut self.templates[agent.kind as usize];
        let body = &mut self.body;
        body.clear();
        // Writing to memory has no way to fail, here and below.
        match step {
            Step::Enroll => {
                let names = template.names(self.profile.seed, agent.identity, agent.number);
                template.enroll(body, &names);
            }
            Step::Config | Step::Read => {
                let _ = write!(body, "{{\"node_key\":\"{}\"}}", agent.node_key);
            }
            Step::Write => {
                let names = template.names(self.profile.seed, agent.identity, agent.number);
                let host = Answerer {
                    names: &names,
                    number: agent.number,
                    given: agent.given.as_deref(),
                    started_s: self.profile.start_unix_ms / 1000,
                    now_ms: self.profile.start_unix_ms + now / 1000,
                };
                if let Some(work) = &agent.work {
                    work::write_body(body, work, template, &host, &self.manner, &agent.node_key);
                }
            }
            Step::Results | Step::Statuses => {
                let (buffer, log_type) = match step {
                    Step::Results => (&mut agent.results, "result"),
                    _ => (&mut agent.statuses, "status"),
                };
                body.extend_from_slice(b"{\"data\":[");
                body.extend_from_slice(&buffer.lines);
                let _ = write!(body, "],\"log_type\":\"{log_type}\",\"node_key\":\"{}\"}}", agent.node_key);
                buffer.sending();
            }
        }
        out.clear();
        out.extend_from_slice(template.head(step.door()));
        if template.has_header && step.door() != Door::Enroll {
            let _ = write!(out, "Authorization: NodeKey {}\r\n", agent.node_key);
        }
        if self.profile.is_balanced {
            let [_, a, b, c] = agent.number.to_be_bytes();
            let _ = write!(out, "X-Forwarded-For: 10.{a}.{b}.{c}\r\n");
        }
        let _ = write!(out, "Host: {}\r\nContent-Length: {}\r\n\r\n", self.profile.host, body.len());
        out.extend_from_slice(body);
        Begin::Send { step, due: agent.lanes[lane as usize].due }
    }

    /// Writes down what scheduled queries found since the last delivery. Says whether there is anything to send, and
    /// makes it the lane's step.
    fn deliver(&mut self, at: usize, now: Micros) -> bool {
        let agent = &mut self.agents[at];
        let template = &self.templates[agent.kind as usize];
        let now_s = (self.profile.start_unix_ms + now / 1000) / 1000;
        let seed = mix(self.profile.seed, u64::from(agent.number));
        let names = template.names(self.profile.seed, agent.identity, agent.number);
        let moment = lines::Moment {
            names: &names,
            now_s,
            calendar: self.calendar.text(now_s),
            has_decorators: agent.given.as_ref().is_some_and(|given| given.has_decorators),
            line_bytes: self.profile.line_bytes,
        };
        let tag = |stream, sequence| Tag { run: self.profile.run, agent: agent.number, stream, sequence };
        let since_s = agent.ran_until_s;
        agent.ran_until_s = now_s;
        let made = (agent.results.next(), agent.statuses.next());
        let dropped = (agent.results.dropped, agent.statuses.dropped);
        let queries = agent.given.as_ref().map(|given| given.queries.as_slice()).unwrap_or_default();
        let shard = || muster_api::osquery::filters::shard_of(&names.hostname);
        if let Some(count) = self.profile.lines {
            for turn in 0..count as usize {
                let Some(query) = queries.get(turn % queries.len().max(1)) else { break };
                agent.results.push(|out, n| lines::result(out, query, u64::from(n), tag(Stream::Results, n), &moment));
            }
        } else {
            for query in queries {
                if query.shard > 0 && !muster_api::osquery::filters::shard_allows(query.shard, shard()) {
                    continue;
                }
                let every_s = query.every_s(seed);
                let runs = now_s / every_s - since_s / every_s;
                for run in 0..runs.min(64) {
                    let counter = now_s / every_s - self.profile.start_unix_ms / 1000 / every_s - (runs - 1 - run);
                    agent.results.push(|out, n| lines::result(out, query, counter, tag(Stream::Results, n), &moment));
                }
            }
        }
        if happens(mix(seed, now), 43, self.profile.status_share) {
            agent.statuses.push(|out, n| lines::status(out, tag(Stream::Statuses, n), &template.version, &moment));
        }
        let ends = (agent.results.next(), agent.statuses.next());
        self.lines[0].made += u64::from(ends.0 - made.0);
        self.lines[1].made += u64::from(ends.1 - made.1);
        self.lines[0].dropped += u64::from(agent.results.dropped - dropped.0);
        self.lines[1].dropped += u64::from(agent.statuses.dropped - dropped.1);
        let now_ms = wheel_time(now);
        let ready = |buffer: &Buffer| !buffer.is_empty() && now_ms >= buffer.not_before_ms;
        let state = &mut agent.lanes[Lane::Logger as usize];
        if ready(&agent.results) {
            state.step = Step::Results;
        } else if ready(&agent.statuses) {
            state.step = Step::Statuses;
        } else {
            return false;
        }
        true
    }

    /// Takes in what came of a request, and says what is next for the job.
    pub fn done(&mut self, job: Job, exchange: &Exchange, outcome: &Outcome<'_>) -> Then {
        let (at, lane) = split(job);
        let phase = usize::from(exchange.due >= self.profile.ramp);
        let endpoint = endpoint(exchange.step) as usize;
        let tally = &mut self.tallies[phase][endpoint];
        let since = |from: Micros| Duration::from_micros(exchange.done.saturating_sub(from));
        tally.requests += 1;
        record(&mut tally.latency, since(exchange.due));
        record(&mut tally.service, since(exchange.sent));
        tally.lateness(Duration::from_micros(exchange.sent.saturating_sub(exchange.due)));
        tally.slow += u64::from(since(exchange.due) >= self.profile.slow);
        tally.resent += u64::from(exchange.resent);
        tally.bytes_out += exchange.bytes_out as u64;
        tally.bytes_in += exchange.bytes_in as u64;
        let result = match outcome {
            Outcome::Answer(body) => self.take(at, exchange, body),
            Outcome::Timeout => Err((Fault::Timeout, "no answer within 16 s".to_owned())),
            Outcome::Broken(reason) => Err((Fault::Connection, reason.clone())),
        };
        let failure = result.err();
        if let Some((fault, example)) = &failure {
            self.tallies[phase][endpoint].fault(*fault, || example.clone());
        }
        let misled = matches!(failure, Some((Fault::WrongConfig | Fault::WrongWork, _)));
        // An agent takes an empty answer for success, and so does this one; it is counted as bad nevertheless.
        let is_empty = matches!(outcome, Outcome::Answer([])) && exchange.step != Step::Enroll;
        if failure.is_none() || misled || is_empty {
            self.after_success(at, lane, exchange)
        } else {
            self.after_failure(at, lane, exchange)
        }
    }

    /// Judges an answer as agents do and takes what is in it.
    fn take(&mut self, at: usize, exchange: &Exchange, body: &[u8]) -> Result<(), (Fault, String)> {
        let agent = &mut self.agents[at];
        let template = &self.templates[agent.kind as usize];
        if exchange.step == Step::Enroll {
            let key = Verdict::judge_enroll(body).map_err(|reason| {
                match serde_json::from_slice::<serde_json::Value>(body) {
                    Ok(value) if value.get("error").is_some() => (Fault::Refused, text_of(&value["error"])),
                    _ => (Fault::BadBody, reason),
                }
            })?;
            // Keys travel in a header, and are written into bodies as they are.
            if key.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'"' || byte == b'\\') {
                return Err((Fault::BadBody, "the node key is no word".to_owned()));
            }
            agent.node_key = key.into();
            return Ok(());
        }
        if body.is_empty() {
            return Err((Fault::BadBody, "an empty answer".to_owned()));
        }
        let is_known = match exchange.step {
            Step::Config => agent.given.as_ref().is_some_and(|given| given.is(body)),
            Step::Read => self.works.known(body),
            _ => body == b"{}",
        };
        if !is_known {
            match Verdict::judge(body, Version::parse(&template.version)) {
                Verdict::Success(_) => {}
                Verdict::NodeInvalid => {
                    agent.node_key = "".into();
                    return Err((Fault::NodeInvalid, String::from_utf8_lossy(body).into_owned()));
                }
                Verdict::Failure(reason) if reason.starts_with("the answer is not JSON") => {
                    return Err((Fault::BadBody, reason));
                }
                Verdict::Failure(reason) => return Err((Fault::Refused, reason)),
            }
        }
        match exchange.step {
            Step::Config => {
                if !is_known {
                    agent.given = self.configs.given(body, agent.kind, template);
                }
                let Some(given) = &agent.given else {
                    return Err((Fault::BadBody, "the config is no object".to_owned()));
                };
                if self.profile.check_config
                    && let Some(misfit) = given.misfit(template)
                {
                    return Err((Fault::WrongConfig, format!("agent {}: {misfit}", agent.number)));
                }
            }
            Step::Read => {
                let Some(work) = self.works.of(body) else {
                    return Err((Fault::BadBody, "the questions are no object of texts".to_owned()));
                };
                let misfit = work.misfit(template);
                agent.work = (work.len() > 0).then_some(work);
                if let Some(misfit) = misfit {
                    return Err((Fault::WrongWork, format!("agent {}: {misfit}", agent.number)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn after_success(&mut self, at: usize, lane: Lane, exchange: &Exchange) -> Then {
        let now = exchange.done;
        let agent = &mut self.agents[at];
        match exchange.step {
            Step::Enroll => {
                agent.enrolling = None;
                self.enrolled_agents += u64::from(!std::mem::replace(&mut agent.has_enrolled, true));
                let state = &mut agent.lanes[lane as usize];
                (state.enroll_attempt, state.due) = (1, now);
                Then::At(now)
            }
            Step::Config => {
                if !agent.started_others {
                    agent.started_others = true;
                    self.configured += 1;
                    self.start_others(at, now);
                }
                self.rest(at, lane, now)
            }
            Step::Read => {
                if agent.work.is_none() {
                    return self.rest(at, lane, now);
                }
                let work = agent.work.as_ref();
                if let Some(seconds) = work.map(|work| work.accelerate_s).filter(|seconds| *seconds > 0) {
                    agent.accelerated_until = now + seconds * SECOND;
                }
                let questions = work.map_or(0, |work| work.len()) as u64;
                let takes = if agent.is_slow { self.profile.slow_by * questions } else { 0 };
                let state = &mut agent.lanes[lane as usize];
                (state.step, state.attempt, state.due) = (Step::Write, 1, now + takes);
                Then::At(state.due)
            }
            Step::Write => {
                agent.work = None;
                agent.lanes[lane as usize].step = Step::Read;
                self.rest(at, lane, now)
            }
            Step::Results => {
                self.lines[0].acknowledged += u64::from(agent.results.accepted());
                self.go_on_with_statuses(at, now)
            }
            Step::Statuses => {
                self.lines[1].acknowledged += u64::from(agent.statuses.accepted());
                self.rest(at, lane, now)
            }
        }
    }

    fn after_failure(&mut self, at: usize, lane: Lane, exchange: &Exchange) -> Then {
        let now = exchange.done;
        let period = (self.profile.log_interval / 1000) as u32;
        let agent = &mut self.agents[at];
        let state = &mut agent.lanes[lane as usize];
        match exchange.step {
            Step::Enroll => {
                let failures = u64::from(state.enroll_attempt);
                state.enroll_attempt = state.enroll_attempt.saturating_add(1);
                state.due = now + (failures * failures).min(ENROLL_PAUSE) * SECOND;
                Then::At(state.due)
            }
            Step::Results => {
                agent.results.refused(wheel_time(now), period);
                self.go_on_with_statuses(at, now)
            }
            Step::Statuses => {
                agent.statuses.refused(wheel_time(now), period);
                self.rest(at, lane, now)
            }
            Step::Config | Step::Read | Step::Write => {
                if state.attempt < ATTEMPTS {
                    let pause = u64::from(state.attempt) * u64::from(state.attempt);
                    state.attempt += 1;
                    state.due = now + pause * SECOND;
                    return Then::At(state.due);
                }
                // Answers that could not be delivered go out at the next turn.
                self.rest(at, lane, now)
            }
        }
    }

    fn go_on_with_statuses(&mut self, at: usize, now: Micros) -> Then {
        let agent = &mut self.agents[at];
        let state = &mut agent.lanes[Lane::Logger as usize];
        if !agent.statuses.is_empty() && wheel_time(now) >= agent.statuses.not_before_ms && state.step == Step::Results
        {
            (state.step, state.due) = (Step::Statuses, now);
            return Then::At(now);
        }
        self.rest(at, Lane::Logger, now)
    }

    /// The first config has come: the other threads of the agent begin.
    fn start_others(&mut self, at: usize, now: Micros) {
        let (storm, profile) = (self.profile.storm, Rc::clone(&self.profile));
        let agent = &mut self.agents[at];
        let seed = mix(profile.seed, u64::from(agent.number));
        agent.ran_until_s = (profile.start_unix_ms + now / 1000) / 1000;
        // A fleet that has been running for long has no common step; hosts keep a place of their own in each interval.
        let place = |salt, interval: Micros| if storm { interval } else { below(seed, salt, interval.max(1)) };
        // Beats are counted on from one interval before the first one, which may lie before the run.
        let before = |salt, interval: Micros| (now + place(salt, interval)).wrapping_sub(interval);
        agent.lanes[Lane::Config as usize].beat = before(50, profile.config_interval);
        if profile.distributed_interval > 0 {
            let state = &mut agent.lanes[Lane::Distributed as usize];
            (state.due, state.beat) = (now, before(52, profile.distributed_interval));
            self.wheel.insert(wheel_time(now), job(at, Lane::Distributed));
        }
        if agent.has_results {
            let due = now + place(51, profile.log_interval);
            let state = &mut agent.lanes[Lane::Logger as usize];
            (state.due, state.beat) = (due, due);
            self.wheel.insert(wheel_time(due), job(at, Lane::Logger));
        }
    }

    /// Ends a round: when the next one is due. At most one round is caught up with; the rest are left out and counted.
    fn rest(&mut self, at: usize, lane: Lane, now: Micros) -> Then {
        let profile = &self.profile;
        let agent = &mut self.agents[at];
        let mut interval = match lane {
            Lane::Config => profile.config_interval,
            Lane::Distributed => profile.distributed_interval,
            Lane::Logger => profile.log_interval,
        };
        if lane == Lane::Distributed && now < agent.accelerated_until {
            interval = interval.min(ACCELERATED);
        }
        let state = &mut agent.lanes[lane as usize];
        if interval == 0 {
            // Fetched once; but an agent that has no config yet goes on trying.
            if lane == Lane::Config && agent.given.is_none() {
                (state.attempt, state.due) = (1, now + 60 * SECOND);
                return Then::At(state.due);
            }
            return Then::Never;
        }
        state.beat = state.beat.wrapping_add(interval);
        if state.beat + interval < now {
            let behind = (now - state.beat) / interval;
            state.beat += behind * interval;
            let phase = usize::from(state.beat >= profile.ramp);
            let endpoint = match lane {
                Lane::Config => Endpoint::Config,
                Lane::Distributed => Endpoint::Read,
                Lane::Logger => Endpoint::Log,
            };
            self.tallies[phase][endpoint as usize].missed += behind;
        }
        state.due = state.beat;
        state.attempt = 1;
        if lane == Lane::Logger {
            state.step = Step::Results;
        }
        Then::At(state.due)
    }

    /// A request that had not begun when the run was over.
    pub fn never_sent(&mut self, job: Job, now: Micros) {
        let (at, lane) = split(job);
        let state = &self.agents[at].lanes[lane as usize];
        let waited = Duration::from_micros(now.saturating_sub(state.due));
        if waited > LATE {
            let phase = usize::from(state.due >= self.profile.ramp);
            let tally = &mut self.tallies[phase][endpoint(state.step) as usize];
            tally.lateness(waited);
            record(&mut tally.latency, waited);
            tally.slow += u64::from(waited >= self.profile.slow);
        }
    }

    /// Requests, faults, late starts and slow ones so far.
    pub fn sums(&self) -> [u64; 4] {
        let all = self.tallies.iter().flatten();
        all.fold([0; 4], |[requests, errors, late, slow], tally| {
            [requests + tally.requests, errors + tally.errors(), late + tally.late, slow + tally.slow]
        })
    }

    /// What remains of the fleet when the run is over.
    pub fn finish(self) -> Outcomes {
        let mut ledger = Vec::new();
        for agent in self.agents {
            for (stream, buffer) in [(Stream::Results, agent.results), (Stream::Statuses, agent.statuses)] {
                if buffer.next() > 0 {
                    ledger.push((agent.number, stream, buffer.next(), buffer.acknowledged));
                }
            }
        }
        Outcomes { tallies: self.tallies, lines: self.lines, ledger }
    }
}

/// What one thread has to report.
pub(super) struct Outcomes {
    pub tallies: [Vec<Tally>; 2],
    pub lines: [LineCount; 2],
    pub ledger: Vec<(u32, Stream, u32, Vec<(u32, u32)>)>,
}

fn text_of(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn endpoint(step: Step) -> Endpoint {
    match step {
        Step::Enroll => Endpoint::Enroll,
        Step::Config => Endpoint::Config,
        Step::Read => Endpoint::Read,
        Step::Write => Endpoint::Write,
        Step::Results | Step::Statuses => Endpoint::Log,
    }
}

fn job(at: usize, lane: Lane) -> Job {
    at as u32 * 4 + lane as u32
}

fn split(job: Job) -> (usize, Lane) {
    ((job / 4) as usize, LANES[(job % 4) as usize])
}

/// Timers fire at the first whole millisecond that is not too early.
fn wheel_time(at: Micros) -> u32 {
    u32::try_from(at.div_ceil(1000)).unwrap_or(u32::MAX)
}
