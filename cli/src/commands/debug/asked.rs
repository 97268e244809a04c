//! Which node is asked.

use std::time::Duration;

use anyhow::anyhow;

use super::facts::DebugNodes;
use crate::commands::ClientSession;
use crate::rest::{DebugAnswer, DebugConnection, RestError};

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
    /// Asks the node for an item.
    pub async fn get(&self, session: &ClientSession, path: &str) -> anyhow::Result<DebugAnswer> {
        self.get_within(session, path, ANSWER_TIME).await
    }

    /// As [`NodeArgs::get`], for an answer that takes longer.
    pub async fn get_within(
        &self,
        session: &ClientSession,
        path: &str,
        limit: Duration,
    ) -> anyhow::Result<DebugAnswer> {
        let answer = self.connection(session)?.get(path, limit).await;
        self.explained(session, answer).await
    }

    /// Changes something of the node.
    pub async fn put(&self, session: &ClientSession, path: &str, body: Vec<u8>) -> anyhow::Result<DebugAnswer> {
        let answer = self.connection(session)?.put(path, body, ANSWER_TIME).await;
        self.explained(session, answer).await
    }

    fn connection(&self, session: &ClientSession) -> anyhow::Result<DebugConnection> {
        Ok(session.debug_client(self.node_address.as_deref())?.connection(self.node.as_deref()))
    }

    /// Says of a node that is not reached whether there is such a node.
    async fn explained(
        &self,
        session: &ClientSession,
        answer: Result<DebugAnswer, RestError>,
    ) -> anyhow::Result<DebugAnswer> {
        let (here, asked) = match (answer, &self.node) {
            (Err(RestError::OtherNode { here }), Some(asked)) => (here, asked),
            (answer, _) => return Ok(answer?),
        };
        let mut any = session.debug_client(self.node_address.as_deref())?.connection(None);
        let list = any.get("nodes", ANSWER_TIME).await.ok();
        let list = list.and_then(|answer| serde_json::from_slice::<DebugNodes>(&answer.bytes).ok());
        let is_missing = list.is_some_and(|list| !list.nodes.iter().any(|node| node.id == *asked));
        let remedy = if is_missing {
            format!("there is no node {asked} over this database (fleetctl debug nodes lists them)")
        } else {
            format!("name the address of {asked} with --node-address URL")
        };
        Err(anyhow!("this address leads to node {here}; {remedy}"))
    }
}
