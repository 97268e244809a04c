//! What each thread does next: waiting, enrolling, attempts and pauses.

use super::{
    Agent,
    request::{AgentEndpoint, Next, Outcome, Request, Thread},
    step::Step,
    verdict::Verdict,
};

/// How soon a thread asks again whether another one has finished enrolling, in milliseconds.
const ENROLL_RECHECK_MS: u64 = 100;

/// An exchange that came to an end.
#[derive(Clone, Debug)]
pub struct Done {
    /// What it was.
    pub step: Step,
    /// How it was judged.
    pub verdict: Verdict,
}

/// The state of one thread.
#[derive(Debug)]
pub(super) struct Lane {
    phase: Phase,
    step: Step,
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

impl Lane {
    pub fn due(at_ms: u64) -> Self {
        Self { phase: Phase::Idle(at_ms), step: Step::Config, attempt: 1, enroll_attempt: 0, enroll_tried: false }
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

    fn begin(&mut self, step: Step, at_ms: u64) {
        self.step = step;
        self.attempt = 1;
        self.enroll_tried = false;
        self.phase = Phase::Ready(at_ms);
    }
}

impl Agent {
    /// What this thread wants to do now.
    ///
    /// After [`Next::Send`] the thread wants nothing more until its outcome is reported with [`Agent::done`].
    pub fn next(&mut self, thread: Thread, now_ms: u64) -> Next {
        loop {
            let lane = &mut self.lanes[thread as usize];
            match &lane.phase {
                Phase::Off | Phase::Flying { .. } | Phase::Orphan(_) => {
                    return Next::WaitUntil(u64::MAX);
                }
                Phase::Idle(at) | Phase::Ready(at) | Phase::EnrollReady(at) if now_ms < *at => {
                    return Next::WaitUntil(*at);
                }
                Phase::Idle(_) => self.begin_round(thread, now_ms),
                Phase::Ready(_) => {
                    if !self.node_key.is_empty() || lane.enroll_tried {
                        let step = lane.step;
                        return self.send(thread, self.request(step, now_ms));
                    }
                    if self.enrolling.is_some() {
                        return Next::WaitUntil(now_ms + ENROLL_RECHECK_MS);
                    }
                    lane.enroll_attempt = 1;
                    lane.phase = Phase::EnrollReady(now_ms);
                    self.enrolling = Some(thread);
                }
                Phase::EnrollReady(_) => {
                    return self.send(thread, self.request(Step::Enroll, now_ms));
                }
                Phase::Repeat(request) => {
                    let request = request.clone();
                    self.counters.sent(request.endpoint);
                    lane.phase = Phase::Flying { request: request.clone(), repeated: true };
                    return Next::Send(request);
                }
            }
        }
    }

    /// Reports what became of the request that [`Agent::next`] gave for this thread.
    ///
    /// `None` if that ended no exchange: the same request is to be repeated, or its process is gone.
    pub fn done(&mut self, thread: Thread, outcome: Outcome, now_ms: u64) -> Option<Done> {
        let lane = &mut self.lanes[thread as usize];
        let (request, repeated) = match std::mem::replace(&mut lane.phase, Phase::Off) {
            Phase::Flying { request, repeated } => (request, repeated),
            Phase::Orphan(start) => {
                lane.phase = start.map_or(Phase::Off, Phase::Idle);
                return None;
            }
            other => {
                lane.phase = other;
                return None;
            }
        };
        let may_repeat = match outcome {
            Outcome::Broken(_) => true,
            Outcome::Timeout => !self.version.at_least(4, 0, 1),
            Outcome::Answer(_) => false,
        };
        if may_repeat && !repeated && self.version.at_least(3, 2, 0) && now_ms < request.deadline_ms {
            lane.phase = Phase::Repeat(request);
            return None;
        }
        if request.endpoint == AgentEndpoint::Enroll {
            let verdict = self.absorb(Step::Enroll, &outcome, now_ms);
            self.after_enroll(thread, verdict.is_success(), now_ms);
            return Some(Done { step: Step::Enroll, verdict });
        }
        let step = lane.step;
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
        self.lanes[thread as usize].phase = Phase::Flying { request: request.clone(), repeated: false };
        Next::Send(request)
    }

    fn after_enroll(&mut self, thread: Thread, enrolled: bool, now_ms: u64) {
        let failures = self.lanes[thread as usize].enroll_attempt;
        if !enrolled && failures < self.max_enroll_attempts() {
            let pause = self.enroll_pause_ms(failures);
            let lane = &mut self.lanes[thread as usize];
            lane.enroll_attempt += 1;
            lane.phase = Phase::EnrollReady(now_ms.saturating_add(pause));
            return;
        }
        self.enrolling = None;
        let lane = &mut self.lanes[thread as usize];
        lane.enroll_tried = true;
        lane.phase = Phase::Ready(now_ms);
    }

    fn after_step(&mut self, thread: Thread, step: Step, verdict: &Verdict, now_ms: u64) {
        let max_attempts = match step {
            Step::Config => self.flags.config_tls_max_attempts,
            Step::Read | Step::Write => self.flags.distributed_tls_max_attempts,
            Step::Results | Step::Statuses | Step::Enroll => 1,
        };
        let lane = &mut self.lanes[thread as usize];
        if !verdict.is_success() && lane.attempt < max_attempts {
            let pause_ms = u64::from(lane.attempt) * u64::from(lane.attempt) * 1000;
            lane.attempt += 1;
            lane.enroll_tried = false;
            lane.phase = Phase::Ready(now_ms + pause_ms);
            return;
        }
        match step {
            Step::Config | Step::Enroll => self.after_config(verdict.is_success(), now_ms),
            Step::Results => {
                self.delivery.concluded(step, verdict.is_success(), &self.flags, self.version, now_ms);
                self.go_on_with_statuses(now_ms);
            }
            Step::Statuses => {
                self.delivery.concluded(step, verdict.is_success(), &self.flags, self.version, now_ms);
                self.end_delivery(now_ms);
            }
            Step::Read => self.run_and_write(now_ms),
            Step::Write => self.rest(Thread::Distributed, self.distributed_pause_ms(now_ms), now_ms),
        }
    }

    fn begin_round(&mut self, thread: Thread, now_ms: u64) {
        match thread {
            Thread::Config => self.begin_step(thread, Step::Config, now_ms),
            Thread::Logger => self.begin_delivery(now_ms),
            Thread::Distributed => self.begin_step(thread, Step::Read, now_ms),
        }
    }

    fn after_config(&mut self, success: bool, now_ms: u64) {
        if !self.config.asked_once {
            self.config.asked_once = true;
            self.last_tick_s = now_ms / 1000;
            self.delivery.adopt(&self.flags);
            self.lanes[Thread::Logger as usize].start(now_ms);
            if !self.flags.disable_distributed {
                self.lanes[Thread::Distributed as usize].start(now_ms);
            }
        }
        if self.flags.config_refresh == 0 {
            self.lanes[Thread::Config as usize].phase = Phase::Off;
            return;
        }
        let pause_s = if success { self.flags.config_refresh } else { self.flags.config_accelerated_refresh };
        self.rest(Thread::Config, pause_s.saturating_mul(1000), now_ms);
    }

    pub(super) fn begin_step(&mut self, thread: Thread, step: Step, at_ms: u64) {
        self.lanes[thread as usize].begin(step, at_ms);
    }

    pub(super) fn rest(&mut self, thread: Thread, pause_ms: u64, now_ms: u64) {
        self.lanes[thread as usize].phase = Phase::Idle(now_ms.saturating_add(pause_ms));
    }
}
