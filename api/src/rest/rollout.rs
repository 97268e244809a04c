use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A change that reaches hosts in stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    pub id: i64,
    pub name: String,
    pub state: RolloutState,
    /// The number of the stage, from 0.
    pub stage: i64,
    pub stages: Vec<RolloutStage>,
    pub began_at: DateTime<Utc>,
    pub stage_began_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    /// What changes: `pack NAME` and `agent options`.
    pub changes: Vec<String>,
    /// What the next stage waits for, or why the rollout was reverted or paused; empty if there is nothing to say.
    pub reason: String,
    /// The hosts that it reaches now. Absent once it is over, and in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<RolloutHosts>,
    /// The gates as they are now. Absent once it is over, and in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateReading>,
    /// What was decided, the oldest first. Absent in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<RolloutDecision>,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    Running,
    /// As it is, until somebody resumes it; its gates are watched.
    Paused,
    /// The change is made, for all hosts.
    Done,
    /// All hosts are served the old version again.
    Reverted,
    /// In a state that only a newer version of the server knows.
    Unknown,
}

/// A stage of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutStage {
    /// The hosts that it adds: `5 %`, or `label NAME`.
    pub title: String,
    /// Seconds that it lasts at least.
    pub bake_secs: u64,
}

/// The hosts whose config a rollout changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutHosts {
    /// Those in the cohort, which are served the new version.
    pub cohort: i64,
    pub cohort_online: i64,
    /// Those in the cohort that have reported in this stage.
    pub reported: i64,
    /// Those that are not reached yet.
    pub others: i64,
}

/// What a gate shows. It trips when the number of the cohort is above both limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateReading {
    pub gate: String,
    /// The number of the cohort; null while too little is known.
    pub cohort: Option<f64>,
    /// The number of the other hosts; null if there are none, or too little is known.
    pub others: Option<f64>,
    pub above: f64,
    pub times: f64,
    pub is_tripped: bool,
}

/// A decision about a rollout, with what it was made by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutDecision {
    pub at: DateTime<Utc>,
    /// The stage that it was about.
    pub stage: i64,
    /// `began`, `advanced`, `paused`, `resumed`, `halted` (by a gate), `aborted` (by somebody) or `done`.
    pub kind: String,
    /// Empty for the server itself.
    pub actor: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<RolloutHosts>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateReading>,
}

/// A list of rollouts, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutList {
    pub rollouts: Vec<Rollout>,
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutEnvelope {
    pub rollout: Rollout,
}
