//! Judging answers.

use std::time::Duration;

use super::{Fleet, Job, Micros, RequestOutcome, SentRequest, Then, endpoint, split};
use crate::load::{
    etags::{self, ConfigAnswer},
    measure::{Fault, record},
};
use agent_compat::{
    Verdict,
    agent::{ExchangeStep, Version},
};

impl Fleet {
    /// Takes in what came of a request, and says what is next for the job.
    pub fn done(&mut self, job: Job, exchange: &SentRequest, outcome: &RequestOutcome<'_>) -> Then {
        let (at, thread) = split(job);
        let phase = usize::from(exchange.due >= self.profile.ramp);
        let endpoint = endpoint(exchange.step);
        let tally = &mut self.tallies[phase][endpoint as usize];
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
            RequestOutcome::Answer(body) if exchange.step == ExchangeStep::Config && self.profile.etags => {
                self.take_with_etag(at, exchange, body)
            }
            RequestOutcome::Answer(body) => self.take(at, exchange, body),
            RequestOutcome::Timeout => Err((Fault::Timeout, "no answer within 16 s".to_owned())),
            RequestOutcome::Broken(reason) => Err((Fault::Connection, reason.clone())),
        };
        if exchange.resent || !matches!(outcome, RequestOutcome::Answer(_)) {
            match exchange.step {
                ExchangeStep::Results => self.agents[at].results.unanswered(),
                ExchangeStep::Statuses => self.agents[at].statuses.unanswered(),
                _ => {}
            }
        }
        let failure = result.err();
        if let Some((fault, example)) = &failure {
            self.tallies[phase][endpoint as usize].fault(*fault, || example.clone());
        }
        let is_live = exchange.step == ExchangeStep::Read
            && failure.is_none()
            && self.agents[at].work.as_ref().is_some_and(|work| work.is_live());
        self.slices.record(exchange.due, endpoint, is_live, since(exchange.due), failure.is_some());
        let misled = matches!(failure, Some((Fault::WrongConfig | Fault::WrongWork, _)));
        // An agent takes an empty answer for success, and so does this one; it is counted as bad nevertheless.
        let is_empty = matches!(outcome, RequestOutcome::Answer([])) && exchange.step != ExchangeStep::Enroll;
        if failure.is_none() || misled || is_empty {
            self.after_success(at, thread, exchange)
        } else {
            self.after_failure(at, thread, exchange)
        }
    }

    /// As [`Fleet::take`], for the answer to an agent that sent an etag.
    fn take_with_etag(&mut self, at: usize, exchange: &SentRequest, body: &[u8]) -> Result<(), (Fault, String)> {
        match etags::read(body) {
            ConfigAnswer::Unchanged => {
                let agent = &self.agents[at];
                if agent.etag.is_empty() || agent.given.is_none() {
                    return Err((Fault::BadBody, "unchanged, but the agent has no config with an etag".to_owned()));
                }
                Ok(())
            }
            ConfigAnswer::Whole { etag, config } => {
                self.agents[at].etag = etag.into();
                self.take(at, exchange, &config)
            }
            ConfigAnswer::Bare => self.take(at, exchange, body),
        }
    }

    /// Judges an answer as agents do and takes what is in it.
    fn take(&mut self, at: usize, exchange: &SentRequest, body: &[u8]) -> Result<(), (Fault, String)> {
        let agent = &mut self.agents[at];
        let template = &self.templates[agent.kind as usize];
        if exchange.step == ExchangeStep::Enroll {
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
            ExchangeStep::Config => agent.given.as_ref().is_some_and(|given| given.is(body)),
            ExchangeStep::Read => self.works.known(body),
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
            ExchangeStep::Config => {
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
            ExchangeStep::Read => {
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
}

fn text_of(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
