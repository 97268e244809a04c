use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The requests and tasks that a node works on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestsUnderWay {
    pub node: String,
    pub at: DateTime<Utc>,
    /// The oldest first.
    pub requests: Vec<RequestUnderWay>,
    #[serde(default)]
    pub tasks: Vec<TaskNow>,
    /// Requests that are not among them.
    #[serde(default)]
    pub left_out: u64,
}

/// A request that has not been answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestUnderWay {
    /// As in the header `X-Request-Id` and in log lines.
    pub id: String,
    /// `agent`, `operator` or `debug`.
    pub kind: String,
    /// The endpoint of an agent; else method and path.
    pub name: String,
    pub since: DateTime<Utc>,
    pub seconds: f64,
    /// Nothing while it is worked on.
    #[serde(default)]
    pub waits_for: Option<String>,
    #[serde(default)]
    pub waits_seconds: Option<f64>,
}

/// A periodic task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskNow {
    pub name: String,
    /// `running` or `idle`.
    pub state: String,
    /// The beginning of this run, or the end of the last one.
    pub since: DateTime<Utc>,
    pub seconds: f64,
    /// Of the last run: `done`, or what went wrong.
    #[serde(default)]
    pub last_outcome: Option<String>,
    #[serde(default)]
    pub waits_for: Option<String>,
    #[serde(default)]
    pub waits_seconds: Option<f64>,
}

/// How long work has waited for what since the start of the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waits {
    pub waits: Vec<WaitTotals>,
    #[serde(default)]
    pub pools: Vec<ThreadPool>,
    #[serde(default)]
    pub connections: Vec<ConnectionsInUse>,
}

/// The waits for one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitTotals {
    #[serde(rename = "for")]
    pub waits_for: String,
    pub waiting_now: u64,
    /// Absent if nobody waits.
    #[serde(default)]
    pub longest_now_seconds: Option<f64>,
    /// Waits that have ended.
    pub count: u64,
    pub total_seconds: f64,
    pub max_seconds: f64,
}

/// A pool of threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadPool {
    pub name: String,
    pub threads: i64,
    pub busy: i64,
    pub waiting: i64,
}

/// A pool of connections to the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionsInUse {
    pub pool: String,
    pub max: i64,
    pub in_use: i64,
    pub idle: i64,
}

/// Work of a node in some seconds, in the format of Chrome's trace viewer, which Perfetto reads as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceFile {
    #[serde(rename = "traceEvents")]
    pub events: Vec<TraceEvent>,
    #[serde(rename = "displayTimeUnit")]
    pub display_time_unit: String,
    /// `node`, `seconds`, and the number of events `left_out`.
    #[serde(rename = "otherData")]
    pub other: Map<String, Value>,
}

/// A request, a task, or a wait of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceEvent {
    pub name: String,
    /// `agent`, `operator`, `debug`, `task` or `wait`.
    pub cat: String,
    /// Always `X`: an event with a duration.
    pub ph: String,
    /// Microseconds since the beginning of the trace.
    pub ts: f64,
    /// Microseconds.
    pub dur: f64,
    pub pid: u32,
    /// A line of the viewer. A request and its waits share one.
    pub tid: u32,
    /// The `id` of the request or task.
    pub args: Map<String, Value>,
}
