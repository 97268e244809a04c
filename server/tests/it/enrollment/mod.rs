//! How hosts come to their keys, keep them and lose them.

mod admission;
mod clones;
mod identity;
mod keys;
mod races;
mod secrets;
mod storm;

use agent_compat::agent::{Identity, Platform};
use muster_api::rest::{HostDetail, HostEnvelope, HostList};

use crate::support::TestServer;

pub fn identity(index: u32) -> Identity {
    Identity::simulated(1, index, Platform::Linux)
}

async fn hosts(server: &TestServer) -> Vec<muster_api::rest::HostView> {
    server.rest.read::<HostList>("hosts").await.hosts
}

async fn host(server: &TestServer, id: i64) -> HostDetail {
    server.rest.read::<HostEnvelope>(&format!("hosts/{id}")).await.host
}
