//! Which node is asked.

use std::time::Duration;

use crate::commands::ClientSession;
use crate::rest::{DebugAnswer, DebugConnection};

/// Time that a node has for an answer it does not have to measure.
pub const ANSWER_TIME: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub struct NodeArgs {
    /// Node to ask, by the id that `fleetctl debug nodes` shows [default: the one that answers]
    #[arg(long, value_name = "ID")]
    node: Option<String>,
    /// URL of the node, if the address of the context does not lead to it or the server serves /debug elsewhere
    #[arg(long, value_name = "URL")]
    node_address: Option<String>,
}

impl NodeArgs {
    /// A connection to the node.
    pub fn connection(&self, session: &ClientSession) -> anyhow::Result<DebugConnection> {
        Ok(session.debug_client(self.node_address.as_deref())?.connection(self.node.as_deref()))
    }

    /// Asks the node for an item.
    pub async fn get(&self, session: &ClientSession, path: &str) -> anyhow::Result<DebugAnswer> {
        Ok(self.connection(session)?.get(path, ANSWER_TIME).await?)
    }
}
