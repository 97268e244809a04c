use std::sync::Arc;

use agent_compat::agent::{AgentEndpoint, Flags, Identity, Platform};
use agent_compat::transport::{Direct, Trust};
use agent_compat::{Exchange, SqliteHost, TestAgent, Verdict};
use serde_json::{Map, Value, json};

/// What agents enroll with.
pub const ENROLL_SECRET: &str = "enrol-secret-of-the-tests";

/// Where a server is and how to know it.
#[derive(Debug, Clone)]
pub struct Address {
    pub url: String,
    pub trust: Trust,
}

impl Address {
    /// Linux host number `index`, not enrolled.
    pub fn agent(&self, index: u32) -> TestAgent {
        self.agent_of(Identity::simulated(1, index, Platform::Linux))
    }

    /// A host of this identity, not enrolled.
    pub fn agent_of(&self, identity: Identity) -> TestAgent {
        let flags = Flags { enroll_secret: ENROLL_SECRET.into(), ..Flags::default() };
        self.agent_with(identity, flags)
    }

    pub fn agent_with(&self, identity: Identity, flags: Flags) -> TestAgent {
        TestAgent::new(identity, flags, &self.url, &self.trust).unwrap()
    }

    /// Linux host number `index`, enrolled.
    pub async fn enrolled(&self, index: u32) -> TestAgent {
        let mut agent = self.agent(index);
        let exchange = agent.enroll().await;
        assert!(exchange.verdict.is_success(), "{exchange:?}");
        agent
    }

    /// Sends an agent here from now on.
    pub fn draw(&self, agent: &mut TestAgent) {
        agent.go_by(Direct::new(&self.url, &self.trust).unwrap());
    }

    /// An agent that lives by its own timers, for [`agent_compat::live::run`].
    pub fn living(&self, index: u32, flags: Flags) -> (agent_compat::Agent, Direct) {
        let identity = Arc::new(Identity::simulated(1, index, Platform::Linux));
        let agent =
            agent_compat::Agent::new(identity, flags, Box::new(SqliteHost::new()), agent_compat::live::now_ms());
        (agent, Direct::new(&self.url, &self.trust).unwrap().lingering(true))
    }
}

/// The answer as the JSON object it must be.
pub fn object(exchange: &Exchange) -> Map<String, Value> {
    match serde_json::from_slice(exchange.body()) {
        Ok(Value::Object(members)) => members,
        _ => panic!("not answered with a JSON object: {exchange:?}"),
    }
}

/// Checks that the server refused in words an agent understands, whatever the endpoint, and said nothing about its key.
pub fn assert_refused(exchange: &Exchange, what: &str) {
    assert!(matches!(exchange.verdict, Verdict::Failure(_)), "{what}: {exchange:?}");
    assert!(exchange.response.is_some(), "{what}: no answer: {exchange:?}");
    let members = object(exchange);
    assert!(members.get("error").is_some_and(Value::is_string), "{what}: {exchange:?}");
    assert!(!members.contains_key("node_invalid"), "{what}: {exchange:?}");
    assert!(!members.contains_key("node_key"), "{what}: {exchange:?}");
    assert!(exchange.status() >= 400, "{what}: {exchange:?}");
}

/// A log body as an agent without compression writes it.
pub fn log_body(agent: &TestAgent, log_type: &str, lines: &[Value]) -> String {
    json!({ "data": lines, "log_type": log_type, "node_key": agent.node_key() }).to_string()
}

/// All endpoints of agents.
pub const AGENT_ENDPOINTS: [AgentEndpoint; 5] = AgentEndpoint::ALL;
