//! What this server is made of: its nodes and its database.

use std::time::Duration;

use super::access::{Permission, Principal};
use super::{Fleet, Result};
use crate::clock::Moment;
use crate::store::{self, Migrations, nodes};

/// A node that has not been heard of for so long is not shown.
const SHOWN_FOR: Duration = Duration::from_secs(3600);

/// Most nodes that are shown.
const MAX_NODES: usize = 100;

/// A node, as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    pub id: String,
    pub alive_at: Option<Moment>,
    /// The version that it runs; `None` if its version does not say.
    pub version: Option<String>,
    /// Whether it does what one node does for all.
    pub is_leader: bool,
}

/// What a server is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerParts {
    /// Those heard of within an hour, this one first.
    pub nodes: Vec<NodeState>,
    /// Kind and version.
    pub database: String,
}

impl Fleet {
    /// The nodes and the database of this server.
    ///
    /// # Errors
    /// [`Error::Forbidden`](super::Error::Forbidden) to users who may not read the config; or the database does not answer.
    pub async fn server_parts(&self, principal: &Principal) -> Result<ServerParts> {
        principal.may(Permission::ReadConfig)?;
        let (db, now) = (self.hosts.reader(), self.clock.now());
        let known = nodes::since(db, now.minus(SHOWN_FOR)).await?;
        let leader = nodes::holder(db, nodes::LEADER, now).await?;
        let own = self.node.id();
        let mut nodes: Vec<NodeState> = known
            .into_iter()
            .map(|node| NodeState {
                is_leader: leader.as_ref() == Some(&node.id),
                alive_at: node.alive_at,
                version: node.version,
                id: node.id,
            })
            .collect();
        nodes.sort_by_key(|node| (node.id != own, std::cmp::Reverse(node.alive_at)));
        nodes.truncate(MAX_NODES);
        Ok(ServerParts { nodes, database: store::version(db).await? })
    }

    /// How the schema of the database compares to what this node knows.
    ///
    /// # Errors
    /// [`Error::Forbidden`](super::Error::Forbidden) to users who may not debug; or the database does not answer.
    pub async fn migrations(&self, principal: &Principal) -> Result<Migrations> {
        principal.may(Permission::Debug)?;
        Ok(store::migrations(self.hosts.reader().inner()).await?)
    }
}
