//! Writing requests.

use std::io::Write as _;

use super::{Begin, Fleet, Micros, wheel_time};
use crate::load::{
    buffer::Buffer,
    lines::{self, Stream, Tag},
    work::{self, Answerer, happens},
};
use agent_compat::agent::{AgentEndpoint, ExchangeStep, Thread, chance::mix};

impl Fleet {
    pub(super) fn write(
        &mut self,
        at: usize,
        step: ExchangeStep,
        thread: Thread,
        now: Micros,
        out: &mut Vec<u8>,
    ) -> Begin {
        let agent = &mut self.agents[at];
        let template = &mut self.templates[agent.kind as usize];
        let body = &mut self.body;
        body.clear();
        // Writing to memory has no way to fail, here and below.
        match step {
            ExchangeStep::Enroll => {
                let names = template.names(self.profile.seed, agent.identity, agent.number);
                template.enroll(body, &names);
            }
            ExchangeStep::Config if self.profile.etags => {
                let _ = write!(body, "{{\"node_key\":\"{}\",\"etag\":\"{}\"}}", agent.node_key, agent.etag);
            }
            ExchangeStep::Config | ExchangeStep::Read => {
                let _ = write!(body, "{{\"node_key\":\"{}\"}}", agent.node_key);
            }
            ExchangeStep::Write => {
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
            ExchangeStep::Results | ExchangeStep::Statuses => {
                let (buffer, log_type) = match step {
                    ExchangeStep::Results => (&mut agent.results, "result"),
                    _ => (&mut agent.statuses, "status"),
                };
                body.extend_from_slice(b"{\"data\":[");
                body.extend_from_slice(&buffer.lines);
                let _ = write!(body, "],\"log_type\":\"{log_type}\",\"node_key\":\"{}\"}}", agent.node_key);
                buffer.sending();
            }
        }
        out.clear();
        out.extend_from_slice(template.head(step.endpoint()));
        if template.has_header && step.endpoint() != AgentEndpoint::Enroll {
            let _ = write!(out, "Authorization: NodeKey {}\r\n", agent.node_key);
        }
        if self.profile.is_balanced {
            let [_, a, b, c] = agent.number.to_be_bytes();
            let _ = write!(out, "X-Forwarded-For: 10.{a}.{b}.{c}\r\n");
        }
        let _ = write!(out, "Host: {}\r\nContent-Length: {}\r\n\r\n", self.profile.host, body.len());
        out.extend_from_slice(body);
        Begin::Send { step, due: agent.threads[thread as usize].due }
    }

    /// Writes down what scheduled queries found since the last delivery. Says whether there is anything to send, and
    /// makes it the step of the thread.
    pub(super) fn deliver(&mut self, at: usize, now: Micros) -> bool {
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
            for index in 0..count as usize {
                let Some(query) = queries.get(index % queries.len().max(1)) else { break };
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
        let state = &mut agent.threads[Thread::Logger as usize];
        if ready(&agent.results) {
            state.step = ExchangeStep::Results;
        } else if ready(&agent.statuses) {
            state.step = ExchangeStep::Statuses;
        } else {
            return false;
        }
        true
    }
}
