//! Decides the next request of an agent after each response.

use std::rc::Rc;

use super::{Fleet, Micros, SECOND, SentRequest, Then, job, wheel_time};
use crate::load::measure::Endpoint;
use agent_compat::agent::{
    ExchangeStep, Thread,
    chance::{below, mix},
};

/// Attempts of a config, read or write, with pauses of 1 s and 4 s between.
const ATTEMPTS: u8 = 3;
/// Between reads while the server asked for more.
const ACCELERATED: Micros = 5 * SECOND;
/// The longest pause between attempts to enroll.
const ENROLL_PAUSE: u64 = 600;

impl Fleet {
    pub(super) fn after_success(&mut self, at: usize, thread: Thread, exchange: &SentRequest) -> Then {
        let now = exchange.done;
        let agent = &mut self.agents[at];
        match exchange.step {
            ExchangeStep::Enroll => {
                agent.enrolling = None;
                self.enrolled_agents += u64::from(!std::mem::replace(&mut agent.has_enrolled, true));
                let state = &mut agent.threads[thread as usize];
                (state.enroll_attempt, state.due) = (1, now);
                Then::At(now)
            }
            ExchangeStep::Config => {
                if !agent.started_others {
                    agent.started_others = true;
                    self.configured += 1;
                    self.start_others(at, now);
                }
                self.rest(at, thread, now)
            }
            ExchangeStep::Read => {
                if agent.work.is_none() {
                    return self.rest(at, thread, now);
                }
                let work = agent.work.as_ref();
                if let Some(seconds) = work.map(|work| work.accelerate_s).filter(|seconds| *seconds > 0) {
                    agent.accelerated_until = now + seconds * SECOND;
                }
                let questions = work.map_or(0, |work| work.len()) as u64;
                let takes = if agent.is_slow { self.profile.slow_by * questions } else { 0 };
                let state = &mut agent.threads[thread as usize];
                (state.step, state.attempt, state.due) = (ExchangeStep::Write, 1, now + takes);
                Then::At(state.due)
            }
            ExchangeStep::Write => {
                agent.work = None;
                agent.threads[thread as usize].step = ExchangeStep::Read;
                self.rest(at, thread, now)
            }
            ExchangeStep::Results => {
                self.lines[0].acknowledged += u64::from(agent.results.accepted());
                self.go_on_with_statuses(at, now)
            }
            ExchangeStep::Statuses => {
                self.lines[1].acknowledged += u64::from(agent.statuses.accepted());
                self.rest(at, thread, now)
            }
        }
    }

    pub(super) fn after_failure(&mut self, at: usize, thread: Thread, exchange: &SentRequest) -> Then {
        let now = exchange.done;
        let period = (self.profile.log_interval / 1000) as u32;
        let agent = &mut self.agents[at];
        let state = &mut agent.threads[thread as usize];
        match exchange.step {
            ExchangeStep::Enroll => {
                let failures = u64::from(state.enroll_attempt);
                state.enroll_attempt = state.enroll_attempt.saturating_add(1);
                state.due = now + (failures * failures).min(ENROLL_PAUSE) * SECOND;
                Then::At(state.due)
            }
            ExchangeStep::Results => {
                agent.results.refused(wheel_time(now), period);
                self.go_on_with_statuses(at, now)
            }
            ExchangeStep::Statuses => {
                agent.statuses.refused(wheel_time(now), period);
                self.rest(at, thread, now)
            }
            ExchangeStep::Config | ExchangeStep::Read | ExchangeStep::Write => {
                if state.attempt < ATTEMPTS {
                    let pause = u64::from(state.attempt) * u64::from(state.attempt);
                    state.attempt += 1;
                    state.due = now + pause * SECOND;
                    return Then::At(state.due);
                }
                // Answers that could not be delivered go out in the next round.
                self.rest(at, thread, now)
            }
        }
    }

    fn go_on_with_statuses(&mut self, at: usize, now: Micros) -> Then {
        let agent = &mut self.agents[at];
        let state = &mut agent.threads[Thread::Logger as usize];
        if !agent.statuses.is_empty()
            && wheel_time(now) >= agent.statuses.not_before_ms
            && state.step == ExchangeStep::Results
        {
            (state.step, state.due) = (ExchangeStep::Statuses, now);
            return Then::At(now);
        }
        self.rest(at, Thread::Logger, now)
    }

    /// The first config has come: the other threads of the agent begin.
    fn start_others(&mut self, at: usize, now: Micros) {
        let (storm, profile) = (self.profile.storm, Rc::clone(&self.profile));
        let agent = &mut self.agents[at];
        let seed = mix(profile.seed, u64::from(agent.number));
        agent.ran_until_s = (profile.start_unix_ms + now / 1000) / 1000;
        // A fleet that has been running for long has no common step; hosts keep a slot of their own in each interval.
        let slot = |salt, interval: Micros| if storm { interval } else { below(seed, salt, interval.max(1)) };
        // Beats are counted on from one interval before the first one, which may lie before the run.
        let before = |salt, interval: Micros| (now + slot(salt, interval)).wrapping_sub(interval);
        agent.threads[Thread::Config as usize].beat = before(50, profile.config_interval);
        if profile.distributed_interval > 0 {
            let state = &mut agent.threads[Thread::Distributed as usize];
            (state.due, state.beat) = (now, before(52, profile.distributed_interval));
            self.wheel.insert(wheel_time(now), job(at, Thread::Distributed));
        }
        if agent.has_results {
            let due = now + slot(51, profile.log_interval);
            let state = &mut agent.threads[Thread::Logger as usize];
            (state.due, state.beat) = (due, due);
            self.wheel.insert(wheel_time(due), job(at, Thread::Logger));
        }
    }

    /// Ends a round: when the next one is due. At most one round is caught up with; the rest are left out and counted.
    pub(super) fn rest(&mut self, at: usize, thread: Thread, now: Micros) -> Then {
        let profile = &self.profile;
        let agent = &mut self.agents[at];
        let mut interval = match thread {
            Thread::Config => profile.config_interval,
            Thread::Distributed => profile.distributed_interval,
            Thread::Logger => profile.log_interval,
        };
        if thread == Thread::Distributed && now < agent.accelerated_until {
            interval = interval.min(ACCELERATED);
        }
        let state = &mut agent.threads[thread as usize];
        if interval == 0 {
            // Fetched once; but an agent that has no config yet goes on trying.
            if thread == Thread::Config && agent.given.is_none() {
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
            let endpoint = match thread {
                Thread::Config => Endpoint::Config,
                Thread::Distributed => Endpoint::Read,
                Thread::Logger => Endpoint::Log,
            };
            self.tallies[phase][endpoint as usize].missed += behind;
        }
        state.due = state.beat;
        state.attempt = 1;
        if thread == Thread::Logger {
            state.step = ExchangeStep::Results;
        }
        Then::At(state.due)
    }
}
