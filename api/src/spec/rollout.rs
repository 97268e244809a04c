use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Document;
use crate::absent::null_is_default;

/// A change that reaches hosts in stages, and is undone by itself when hosts fare worse with it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutSpec {
    /// How long each stage lasts at least, such as `4h`, `30m` or `90s`. The default is `4h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<String>,
    /// The stages: each adds its hosts to those of the stages before. The last one must be all hosts. The default is 1, 5, 25 and
    /// 100 percent.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<CohortSpec>,
    /// The new version of what changes: documents of the kinds `query`, `pack`, `global_schedule` and `options`.
    pub documents: Vec<Document>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub gates: RolloutGates,
    pub name: String,
    /// The percentage of the online hosts of a cohort that must have reported before its stage ends. The default is 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub reports: Option<u8>,
}

/// `rollout:` inside of a query, pack, schedule or options: how this document reaches hosts in stages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InlineRollout {
    /// As in a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<String>,
    /// As in a rollout.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<CohortSpec>,
    /// As in a rollout.
    #[serde(default, deserialize_with = "null_is_default")]
    pub gates: RolloutGates,
    /// As in a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub reports: Option<u8>,
}

impl InlineRollout {
    /// The rollout of a document that has this inside.
    pub fn of(self, name: String, document: Document) -> RolloutSpec {
        let Self { bake, cohorts, gates, reports } = self;
        RolloutSpec { bake, cohorts, documents: vec![document], gates, name, reports }
    }
}

/// The hosts that a stage adds: a percentage of all hosts, or those in a label.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CohortSpec {
    /// How long this stage lasts at least; that of the rollout if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<String>,
    /// The name of a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// 0–100. Which hosts these are follows from their ids; they stay the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
}

/// When hosts of the cohort fare so badly that the rollout is reverted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutGates {
    /// Percentage of hosts that were seen when the stage began, or since, and have not been seen for 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkin_loss: Option<GateSpec>,
    /// Mean CPU time of a run of the queries that change, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_per_run: Option<GateSpec>,
    /// CPU time of all scheduled queries of a host, in milliseconds an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_total: Option<GateSpec>,
    /// Denylistings of queries that change, for a hundred hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denylisted: Option<GateSpec>,
    /// Percentage of the runs of the queries that change which failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<GateSpec>,
    /// Mean memory of a run of the queries that change, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_per_run: Option<GateSpec>,
    /// Memory of the last runs of all scheduled queries of a host, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total: Option<GateSpec>,
    /// Results of all scheduled queries of a host, in MiB an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<GateSpec>,
    /// Percentage of samples of hosts whose schedule stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<GateSpec>,
    /// Workers that were replaced while their host and version stayed, for a hundred hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_restarts: Option<GateSpec>,
}

/// A gate trips when a number of the cohort is above both limits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// The number must be above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Whether the gate is not looked at.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
    /// And above this many times the number of the hosts outside of the cohort. Without such hosts `above` decides alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<f64>,
}

/// The time that a text such as `90s`, `30m`, `4h` or `2d` names.
pub fn time_span(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let unit = match text.strip_prefix(number)? {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    // So many digits that no product is too large.
    let number: u64 = number.parse::<u32>().ok()?.into();
    Some(Duration::from_secs(number * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_have_one_unit() {
        assert_eq!(time_span("90s"), Some(Duration::from_secs(90)));
        assert_eq!(time_span("4h"), Some(Duration::from_secs(14_400)));
        assert_eq!(time_span("2d"), Some(Duration::from_secs(172_800)));
        for wrong in ["", "4", "h", "-1s", "1.5h", "1h30m", "4 h", "99999999999s", "4H"] {
            assert_eq!(time_span(wrong), None, "{wrong}");
        }
    }
}
