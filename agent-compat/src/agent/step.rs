//! Building each request and taking in each answer, independently of when it happens.

use bytes::Bytes;

use super::{
    Agent,
    json::push_text_member,
    log_buffer::LineKind,
    request::{AgentEndpoint, Outcome, REQUEST_DEADLINE_MS, Request},
    verdict::Verdict,
};

/// One exchange with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeStep {
    /// Enrollment.
    Enroll,
    /// Configuration.
    Config,
    /// Result lines of the current delivery.
    Results,
    /// Status lines of the current delivery.
    Statuses,
    /// Asking for live queries.
    Read,
    /// Results of live queries.
    Write,
}

impl ExchangeStep {
    /// The endpoint it goes to.
    #[must_use]
    pub fn endpoint(self) -> AgentEndpoint {
        match self {
            Self::Enroll => AgentEndpoint::Enroll,
            Self::Config => AgentEndpoint::Config,
            Self::Results | Self::Statuses => AgentEndpoint::Log,
            Self::Read => AgentEndpoint::DistributedRead,
            Self::Write => AgentEndpoint::DistributedWrite,
        }
    }
}

impl Agent {
    /// The request of a step with the present node key.
    ///
    /// Log steps send the lines that [`Agent::select_lines`] chose; before that they are empty.
    #[must_use]
    pub fn request(&self, step: ExchangeStep, now_ms: u64) -> Request {
        let mut gzip = false;
        let body = match step {
            ExchangeStep::Enroll => self.enroll_body(),
            ExchangeStep::Config | ExchangeStep::Read => {
                let mut body = vec![b'{'];
                push_text_member(&mut body, "node_key", &self.node_key);
                body.push(b'}');
                body
            }
            ExchangeStep::Results | ExchangeStep::Statuses => {
                gzip = self.flags.logger_tls_compress;
                self.log_body(line_kind(step))
            }
            ExchangeStep::Write => self.write_body(),
        };
        Request {
            endpoint: step.endpoint(),
            path: self.path(step.endpoint()),
            headers: self.headers(step.endpoint(), gzip),
            body: Bytes::from(body),
            deadline_ms: now_ms.saturating_add(REQUEST_DEADLINE_MS),
        }
    }

    /// Judges the outcome of a step and does what an agent does with it, apart from deciding what comes next.
    pub fn absorb(&mut self, step: ExchangeStep, outcome: &Outcome, now_ms: u64) -> Verdict {
        let body = match outcome {
            Outcome::Answer(body) => body,
            Outcome::Timeout => {
                return self.judged(step, Verdict::Failure("the request timed out".to_owned()));
            }
            Outcome::Broken(reason) => return self.judged(step, Verdict::Failure(reason.clone())),
        };
        if step == ExchangeStep::Enroll {
            let verdict = self.absorb_enroll(body, now_ms);
            return self.judged(step, verdict);
        }
        let verdict = Verdict::judge(body, self.version);
        match &verdict {
            Verdict::Success(value) => match step {
                ExchangeStep::Config => self.apply_config(value, now_ms),
                ExchangeStep::Results | ExchangeStep::Statuses => self.acknowledge_lines(line_kind(step)),
                ExchangeStep::Read => self.accept_live_queries(value, now_ms),
                ExchangeStep::Write => self.live.completed.clear(),
                ExchangeStep::Enroll => {}
            },
            Verdict::NodeInvalid if !self.flags.disable_reenrollment => self.node_key.clear(),
            Verdict::NodeInvalid | Verdict::Failure(_) => {}
        }
        self.judged(step, verdict)
    }

    /// Judges an answer to anything but an enrollment, without doing anything about it.
    #[must_use]
    pub fn judge(&self, body: &[u8]) -> Verdict {
        Verdict::judge(body, self.version)
    }

    /// The path of a endpoint.
    #[must_use]
    pub fn path(&self, endpoint: AgentEndpoint) -> std::sync::Arc<str> {
        let paths = &self.flags.paths;
        std::sync::Arc::clone(match endpoint {
            AgentEndpoint::Enroll => &paths.enroll,
            AgentEndpoint::Config => &paths.config,
            AgentEndpoint::Log => &paths.log,
            AgentEndpoint::DistributedRead => &paths.distributed_read,
            AgentEndpoint::DistributedWrite => &paths.distributed_write,
        })
    }

    /// The headers of a request in the order of the wire, without `Host` and `Content-Length`.
    #[must_use]
    pub fn headers(&self, endpoint: AgentEndpoint, gzip: bool) -> Vec<(&'static str, String)> {
        let json = || "application/json".to_owned();
        let mut headers = vec![
            ("Content-Type", json()),
            ("Accept", json()),
            ("User-Agent", format!("osquery/{}", self.identity.osquery_version)),
        ];
        if self.version.at_least(5, 23, 0) && endpoint != AgentEndpoint::Enroll && !self.node_key.is_empty() {
            headers.push(("Authorization", format!("NodeKey {}", self.node_key)));
        }
        if gzip {
            headers.push(("Content-Encoding", "gzip".to_owned()));
        }
        if self.flags.tls_accept_gzip && self.version.at_least(5, 21, 0) {
            headers.push(("Accept-Encoding", "gzip".to_owned()));
        }
        headers
    }

    /// Counts a request that was made outside the agent's threads.
    pub(crate) fn count_sent(&mut self, request: &Request) {
        self.counters.sent(request.endpoint);
    }

    fn judged(&mut self, step: ExchangeStep, verdict: Verdict) -> Verdict {
        self.counters.judged(step.endpoint(), &verdict);
        verdict
    }
}

fn line_kind(step: ExchangeStep) -> LineKind {
    if step == ExchangeStep::Statuses { LineKind::Status } else { LineKind::Result }
}
