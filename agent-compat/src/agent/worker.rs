//! The steps of each thread: waiting, enrolling, attempts and pauses.

use super::{
    Agent,
    request::{AgentEndpoint, Next, Outcome, Request, Thread},
    step::ExchangeStep,
    verdict::Verdict,
};

/// Period at which a thread checks whether another one has finished enrolling, in milliseconds.
const ENROLL_RECHECK_MS: u64 = 100;

/// An exchange that came to an end.
#[derive(Clone, Debug)]
pub struct Done {
    /// Step that was made.
    pub step: ExchangeStep,
    /// Judgement of the answer.
    pub verdict: Verdict,
}

/// The state of one thread.
#[derive(Debug)]
pub(super) struct Worker {
    phase: Phase,
    step: ExchangeStep,
    attempt: u32,
    enroll_attempt: u32,
    /// Enrollment was tried for this attempt; the request goes out even without a key.
    enroll_tried: bool,
}

#[derive(Debug)]
enum Phase {
    /// Not started.
    Off,
    /// Begins its next round at this time.
    Idle(u64),
    /// Sends the request of its step at this time.
    Ready(u64),
    /// Sends an enrollment at this time; this thread holds the enrollment lock.
    EnrollReady(u64),
    /// Sends the same bytes once more.
    Repeat(Request),
    /// Waits for an outcome.
    Flying { request: Request, repeated: bool },
    /// Its process is gone but the driver still holds its request; goes on at this time, if any.
    Orphan(Option<u64>),
}

impl Worker {
    pub fn due(at_ms: u64) -> Self {
        Self {
            phase: Phase::Idle(at_ms),
            step: ExchangeStep::Config,
            attempt: 1,
            enroll_attempt: 0,
            enroll_tried: false,
        }
    }

    pub fn off() -> Self {
        Self { phase: Phase::Off, ..Self::due(0) }
    }

    /// The process was replaced; the thread starts at this time or stays off.
    pub fn restart(&mut self, start_ms: Option<u64>) {
        let held = matches!(self.phase, Phase::Flying { .. } | Phase::Orphan(_));
        *self = Self::off();
        self.phase = match start_ms {
            start if held => Phase::Orphan(start),
            Some(at_ms) => Phase::Idle(at_ms),
            None => Phase::Off,
        };
    }

    fn start(&mut self, at_ms: u64) {
        match self.phase {
            Phase::Off => self.phase = Phase::Idle(at_ms),
            Phase::Orphan(None) => self.phase = Phase::Orphan(Some(at_ms)),
            _ => {}
        }
    }

    fn begin(&mut self, step: ExchangeStep, at_ms: u64) {
        self.step = step;
        self.attempt = 1;
        self.enroll_tried = false;
        self.phase = Phase::Ready(at_ms);
    }
}

impl Agent {
    /// Next step of this thread.
    ///
    /// After [`Next::Send`] the thread wants nothing more until its outcome is reported with [`Agent::done`].
    pub fn next(&mut self, thread: Thread, now_ms: u64) -> Next {
        loop {
            let worker = &mut self.workers[thread as usize];
            match &worker.phase {
                Phase::Off | Phase::Flying { .. } | Phase::Orphan(_) => {
                    return Next::WaitUntil(u64::MAX);
                }
                Phase::Idle(at) | Phase::Ready(at) | Phase::EnrollReady(at) if now_ms < *at => {
                    return Next::WaitUntil(*at);
                }
                Phase::Idle(_) => self.begin_round(thread, now_ms),
                Phase::Ready(_) => {
                    if !self.node_key.is_empty() || worker.enroll_tried {
                        let step = worker.step;
                        return self.send(thread, self.request(step, now_ms));
                    }
                    if self.enrolling.is_some() {
                        return Next::WaitUntil(now_ms + ENROLL_RECHECK_MS);
                    }
                    worker.enroll_attempt = 1;
                    worker.phase = Phase::EnrollReady(now_ms);
                    self.enrolling = Some(thread);
                }
                Phase::EnrollReady(_) => {
                    return self.send(thread, self.request(ExchangeStep::Enroll, now_ms));
                }
                Phase::Repeat(request) => {
                    let request = request.clone();
                    self.counters.sent(request.endpoint);
                    worker.phase = Phase::Flying { request: request.clone(), repeated: true };
                    return Next::Send(request);
                }
            }
        }
    }

    /// Reports what became of the request that [`Agent::next`] gave for this thread.
    ///
    /// `None` if that ended no exchange: the same request is to be repeated, or its process is gone.
    pub fn done(&mut self, thread: Thread, outcome: Outcome, now_ms: u64) -> Option<Done> {
        let worker = &mut self.workers[thread as usize];
        let (request, repeated) = match std::mem::replace(&mut worker.phase, Phase::Off) {
            Phase::Flying { request, repeated } => (request, repeated),
            Phase::Orphan(start) => {
                worker.phase = start.map_or(Phase::Off, Phase::Idle);
                return None;
            }
            other => {
                worker.phase = other;
                return None;
            }
        };
        let may_repeat = match outcome {
            Outcome::Broken(_) => true,
            Outcome::Timeout => !self.version.at_least(4, 0, 1),
            Outcome::Answer(_) => false,
        };
        if may_repeat && !repeated && self.version.at_least(3, 2, 0) && now_ms < request.deadline_ms {
            worker.phase = Phase::Repeat(request);
            return None;
        }
        if request.endpoint == AgentEndpoint::Enroll {
            let verdict = self.absorb(ExchangeStep::Enroll, &outcome, now_ms);
            self.after_enroll(thread, verdict.is_success(), now_ms);
            return Some(Done { step: ExchangeStep::Enroll, verdict });
        }
        let step = worker.step;
        let restarts = self.counters.restarts;
        let verdict = self.absorb(step, &outcome, now_ms);
        // A new process has begun its threads anew.
        if self.counters.restarts == restarts {
            self.after_step(thread, step, &verdict, now_ms);
        }
        Some(Done { step, verdict })
    }

    fn send(&mut self, thread: Thread, request: Request) -> Next {
        self.counters.sent(request.endpoint);
        self.workers[thread as usize].phase = Phase::Flying { request: request.clone(), repeated: false };
        Next::Send(request)
    }

    fn after_enroll(&mut self, thread: Thread, enrolled: bool, now_ms: u64) {
        let failures = self.workers[thread as usize].enroll_attempt;
        if !enrolled && failures < self.max_enroll_attempts() {
            let pause = self.enroll_pause_ms(failures);
            let worker = &mut self.workers[thread as usize];
            worker.enroll_attempt += 1;
            worker.phase = Phase::EnrollReady(now_ms.saturating_add(pause));
            return;
        }
        self.enrolling = None;
        let worker = &mut self.workers[thread as usize];
        worker.enroll_tried = true;
        worker.phase = Phase::Ready(now_ms);
    }

    fn after_step(&mut self, thread: Thread, step: ExchangeStep, verdict: &Verdict, now_ms: u64) {
        let max_attempts = match step {
            ExchangeStep::Config => self.flags.config_tls_max_attempts,
            ExchangeStep::Read | ExchangeStep::Write => self.flags.distributed_tls_max_attempts,
            ExchangeStep::Results | ExchangeStep::Statuses | ExchangeStep::Enroll => 1,
        };
        let worker = &mut self.workers[thread as usize];
        if !verdict.is_success() && worker.attempt < max_attempts {
            let pause_ms = u64::from(worker.attempt) * u64::from(worker.attempt) * 1000;
            worker.attempt += 1;
            worker.enroll_tried = false;
            worker.phase = Phase::Ready(now_ms + pause_ms);
            return;
        }
        match step {
            ExchangeStep::Config | ExchangeStep::Enroll => self.after_config(verdict.is_success(), now_ms),
            ExchangeStep::Results => {
                self.delivery.concluded(step, verdict.is_success(), &self.flags, self.version, now_ms);
                self.go_on_with_statuses(now_ms);
            }
            ExchangeStep::Statuses => {
                self.delivery.concluded(step, verdict.is_success(), &self.flags, self.version, now_ms);
                self.end_delivery(now_ms);
            }
            ExchangeStep::Read => self.run_and_write(now_ms),
            ExchangeStep::Write => self.rest(Thread::Distributed, self.distributed_pause_ms(now_ms), now_ms),
        }
    }

    fn begin_round(&mut self, thread: Thread, now_ms: u64) {
        match thread {
            Thread::Config => self.begin_step(thread, ExchangeStep::Config, now_ms),
            Thread::Logger => self.begin_delivery(now_ms),
            Thread::Distributed => self.begin_step(thread, ExchangeStep::Read, now_ms),
        }
    }

    fn after_config(&mut self, success: bool, now_ms: u64) {
        if !self.config.asked_once {
            self.config.asked_once = true;
            self.last_tick_s = now_ms / 1000;
            self.delivery.adopt(&self.flags);
            self.workers[Thread::Logger as usize].start(now_ms);
            if !self.flags.disable_distributed {
                self.workers[Thread::Distributed as usize].start(now_ms);
            }
        }
        if self.flags.config_refresh == 0 {
            self.workers[Thread::Config as usize].phase = Phase::Off;
            return;
        }
        let pause_s = if success { self.flags.config_refresh } else { self.flags.config_accelerated_refresh };
        self.rest(Thread::Config, pause_s.saturating_mul(1000), now_ms);
    }

    pub(super) fn begin_step(&mut self, thread: Thread, step: ExchangeStep, at_ms: u64) {
        self.workers[thread as usize].begin(step, at_ms);
    }

    pub(super) fn rest(&mut self, thread: Thread, pause_ms: u64, now_ms: u64) {
        self.workers[thread as usize].phase = Phase::Idle(now_ms.saturating_add(pause_ms));
    }
}
