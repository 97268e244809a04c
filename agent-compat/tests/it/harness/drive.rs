//! The agent model living by its own timers, on a clock that jumps to whatever comes next.

use agent_compat::agent::{Agent, AgentEndpoint, Done, ExchangeStep, Next, Outcome, Request, Thread};
use agent_compat::transport::{Direct, Transport as _, outcome};
use anyhow::{Result, bail};

use super::answers::check_answer;

/// Steps an agent may take before it is taken to be stuck.
const MAX_STEPS: usize = 500;

/// Fate of an answer on its way to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Arrives,
    /// The connection breaks after the server has answered.
    Lost,
    /// The agent gives up waiting.
    TooLate,
}

/// An agent and its way to the server.
pub struct Drive<'a> {
    pub agent: &'a mut Agent,
    transport: Direct,
    now_ms: u64,
    fate: Box<dyn FnMut(&Request) -> Fate + 'a>,
    /// Endpoints of all requests made, in order.
    pub requests: Vec<AgentEndpoint>,
}

impl<'a> Drive<'a> {
    /// Starts at the time of the agent's own start.
    pub fn new(agent: &'a mut Agent, transport: Direct, now_ms: u64) -> Self {
        Self { agent, transport, now_ms, fate: Box::new(|_| Fate::Arrives), requests: Vec::new() }
    }

    /// Decides about every answer.
    #[must_use]
    pub fn with_fate(mut self, fate: impl FnMut(&Request) -> Fate + 'a) -> Self {
        self.fate = Box::new(fate);
        self
    }

    /// Unix time in milliseconds by the agent's clock.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Lets the agent live until an exchange of this kind succeeds, and gives all exchanges up to it.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_success(&mut self, step: ExchangeStep) -> Result<Vec<Done>> {
        let mut done = Vec::new();
        for _ in 0..MAX_STEPS {
            if let Some(exchange) = self.step().await {
                let is_it = exchange.step == step && exchange.verdict.is_success();
                done.push(exchange);
                if is_it {
                    return Ok(done);
                }
            }
        }
        bail!("no {step:?} was accepted: {done:?}")
    }

    /// One request, or a jump to the next time anything happens.
    async fn step(&mut self) -> Option<Done> {
        let mut next_ms = u64::MAX;
        for thread in Thread::ALL {
            match self.agent.next(thread, self.now_ms) {
                Next::Send(request) => return self.exchange(thread, &request).await,
                Next::WaitUntil(at_ms) => next_ms = next_ms.min(at_ms),
            }
        }
        self.now_ms = next_ms.clamp(self.now_ms + 1, self.now_ms + 60_000);
        self.agent.tick(self.now_ms);
        None
    }

    async fn exchange(&mut self, thread: Thread, request: &Request) -> Option<Done> {
        self.requests.push(request.endpoint);
        let result = self.transport.send(thread, request, std::time::Duration::from_secs(16)).await;
        if let Ok(response) = &result {
            check_answer(response, &request.path);
        }
        let seen = match (self.fate)(request) {
            Fate::Arrives => outcome(&result),
            Fate::Lost => Outcome::Broken("the connection broke".to_owned()),
            Fate::TooLate => Outcome::Timeout,
        };
        self.agent.done(thread, seen, self.now_ms)
    }
}
