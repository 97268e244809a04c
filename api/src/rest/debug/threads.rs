use serde::{Deserialize, Serialize};

/// The threads of a node's process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeThreads {
    /// Those that used most CPU time first.
    pub threads: Vec<NodeThread>,
    /// Threads beyond the most that are shown.
    pub left_out: usize,
    /// What is not shown, and why.
    pub note: String,
}

/// A thread, as the kernel knows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeThread {
    pub id: u64,
    pub name: String,
    /// `running`, `sleeping`, `waiting for a device`, `stopped` or `ended`; otherwise the kernel's letter.
    pub state: String,
    /// CPU time since the start of the thread.
    pub cpu_seconds: f64,
    /// The system call and the function of the kernel that it waits in. `None` while it runs, or where the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_in: Option<String>,
    /// Its stack, innermost function first, if the server can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<Vec<String>>,
}
