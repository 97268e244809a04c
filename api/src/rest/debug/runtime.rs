use serde::{Deserialize, Serialize};

/// A node as a process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeRuntime {
    pub version: String,
    /// The node's id.
    pub node: String,
    /// When it started, RFC 3339.
    pub started_at: String,
    pub uptime_seconds: f64,
    /// Processors that it may use.
    pub cpus: usize,
    /// Threads that answer agents; operators, too, if they have no address of their own.
    pub workers: usize,
    pub memory: NodeMemory,
    pub open_files: u64,
    /// Most files that it may have open.
    pub max_open_files: u64,
    /// CPU time of the process since its start, in user and system mode.
    pub cpu_seconds: f64,
    pub threads: u64,
    /// What it was built or started with that changes how it behaves: `heap-profiles`, `planted-faults`, `debug-assertions`.
    pub features: Vec<String>,
    /// Processor and operating system, such as `x86_64-linux`.
    pub target: String,
}

/// Bytes of memory. All but the first are what the allocator says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeMemory {
    /// What the kernel counts as resident of the process.
    pub process_resident: u64,
    /// What the allocator holds, with free pages that it has not given back yet.
    pub resident: u64,
    /// What the program has allocated.
    pub allocated: u64,
    /// The pages that hold it.
    pub active: u64,
    /// Address space.
    pub mapped: u64,
    /// The allocator's own data.
    pub metadata: u64,
}
