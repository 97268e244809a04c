//! A scripted server and a clock.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use agent_compat::{
    Agent, Flags, Identity, Platform, SqliteHost, Tables,
    agent::{AgentEndpoint, Next, Outcome, Request, Thread},
};
use bytes::Bytes;

/// A multiple of 3600 s.
pub const START_S: u64 = 1_795_190_400;

pub fn identity(version: &str) -> Identity {
    let mut identity = Identity::simulated(1, 1, Platform::Linux);
    identity.host_identifier = "host-1".to_owned();
    identity.osquery_version = version.to_owned();
    identity
}

pub fn flags() -> Flags {
    Flags { enroll_secret: "s3".into(), ..Flags::default() }
}

pub fn answer(body: &str) -> Outcome {
    Outcome::Answer(Bytes::copy_from_slice(body.as_bytes()))
}

type Server = Box<dyn FnMut(&Request) -> Outcome>;

/// One agent, its server and the time.
pub struct World {
    pub agent: Agent,
    pub now_ms: u64,
    /// Time in seconds since the start, and request.
    pub sent: Rc<RefCell<Vec<(u64, Request)>>>,
    server: Server,
}

impl World {
    pub fn new(version: &str, flags: Flags, server: impl FnMut(&Request) -> Outcome + 'static) -> Self {
        Self::with_tables(version, flags, Box::new(SqliteHost::new()), server)
    }

    pub fn with_tables(
        version: &str,
        flags: Flags,
        tables: Box<dyn Tables>,
        server: impl FnMut(&Request) -> Outcome + 'static,
    ) -> Self {
        let now_ms = START_S * 1000;
        let agent = Agent::new(identity(version), Arc::new(flags), tables, now_ms);
        Self { agent, now_ms, sent: Rc::default(), server: Box::new(server) }
    }

    pub fn set_server(&mut self, server: impl FnMut(&Request) -> Outcome + 'static) {
        self.server = Box::new(server);
    }

    /// Lets this many seconds pass; whatever was due happens, answers arrive at once.
    pub fn pass(&mut self, seconds: u64) {
        let end_ms = self.now_ms + seconds * 1000;
        loop {
            let wake_ms = self.settle();
            let next_second = (self.now_ms / 1000 + 1) * 1000;
            let next_ms = wake_ms.min(next_second).max(self.now_ms + 1);
            if next_ms > end_ms {
                self.now_ms = end_ms;
                return;
            }
            self.now_ms = next_ms;
            self.agent.tick(self.now_ms);
        }
    }

    /// Does all that is due now; when the next thing is.
    fn settle(&mut self) -> u64 {
        loop {
            let mut wake_ms = u64::MAX;
            let mut sent = false;
            for thread in Thread::ALL {
                match self.agent.next(thread, self.now_ms) {
                    Next::WaitUntil(at_ms) => wake_ms = wake_ms.min(at_ms),
                    Next::Send(request) => {
                        sent = true;
                        let outcome = (self.server)(&request);
                        let second = (self.now_ms - START_S * 1000) / 1000;
                        self.sent.borrow_mut().push((second, request));
                        self.agent.done(thread, outcome, self.now_ms);
                    }
                }
            }
            if !sent {
                return wake_ms;
            }
        }
    }

    /// Seconds at which requests of this kind were sent.
    pub fn times(&self, endpoint: AgentEndpoint) -> Vec<u64> {
        self.sent.borrow().iter().filter(|(_, request)| request.endpoint == endpoint).map(|(at, _)| *at).collect()
    }

    /// Bodies of requests of this kind.
    pub fn bodies(&self, endpoint: AgentEndpoint) -> Vec<String> {
        let sent = self.sent.borrow();
        let requests = sent.iter().filter(|(_, request)| request.endpoint == endpoint);
        requests.map(|(_, request)| String::from_utf8_lossy(&request.body).into_owned()).collect()
    }

    pub fn forget(&mut self) {
        self.sent.borrow_mut().clear();
    }
}

/// A server that accepts everything and serves this configuration.
pub fn serving(config: &str) -> impl FnMut(&Request) -> Outcome + 'static {
    let config = config.to_owned();
    move |request| match request.endpoint {
        AgentEndpoint::Enroll => answer(r#"{"node_key":"k1"}"#),
        AgentEndpoint::Config => answer(&config),
        AgentEndpoint::Log | AgentEndpoint::DistributedRead | AgentEndpoint::DistributedWrite => answer("{}"),
    }
}
