use serde::{Deserialize, Serialize};

/// Sizes of what a node holds in memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFigures {
    pub figures: Vec<Figure>,
}

/// One size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    /// Unit: `hosts`, `bytes`, `threads` and the like.
    pub unit: String,
    /// The most it may be, if anything but the number of hosts bounds it.
    pub bound: Option<f64>,
}

/// The nodes over one database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DebugNodes {
    /// Those heard of within an hour, the one that answers first.
    pub nodes: Vec<DebugNode>,
}

/// One node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DebugNode {
    pub id: String,
    pub version: Option<String>,
    /// When it last said that it is alive, RFC 3339.
    pub alive_at: Option<String>,
    /// Whether it does what one node does for all.
    pub is_leader: bool,
    /// Whether it is the one that answers.
    pub is_this: bool,
}
