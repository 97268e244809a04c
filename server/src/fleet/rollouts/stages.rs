//! The stages of a rollout, as its document describes them.

use std::time::Duration;

use muster_api::spec::{CohortSpec, GateSpec, RolloutGates, RolloutSpec, time_span};
use serde::{Deserialize, Serialize};

use crate::fleet::schedule::Cohort;
use crate::fleet::{Problem, path};

/// The percentages of a rollout that names none.
const PERCENTS: [f64; 4] = [1.0, 5.0, 25.0, 100.0];

/// How long a stage lasts that does not say it.
const BAKE: Duration = Duration::from_secs(4 * 3600);

/// Longest time for which a stage may last.
const LONGEST_BAKE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Most stages of a rollout.
const MAX_STAGES: usize = 20;

/// Percentage of the online hosts of a cohort that must have reported.
const REPORTS: u8 = 50;

/// A stage, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What it adds, for people.
    pub title: String,
    /// Its hosts with those of all stages before.
    pub cohort: Cohort,
    pub bake_secs: u64,
}

impl Stage {
    pub fn bake(&self) -> Duration {
        Duration::from_secs(self.bake_secs)
    }
}

/// The percentage of the online hosts of a cohort that must have reported before a stage ends.
pub fn reports(spec: &RolloutSpec) -> u64 {
    u64::from(spec.reports.unwrap_or(REPORTS).min(100))
}

/// The stages that a spec names. `at` gives the path of each of its keys, `label_id` the id of a label.
pub(in crate::fleet) fn read_stages(
    spec: &RolloutSpec,
    at: impl Fn(&str) -> String,
    label_id: impl Fn(&str) -> Option<i64>,
    problems: &mut Vec<Problem>,
) -> Vec<Stage> {
    let of_percent = |percent| CohortSpec { percent: Some(percent), ..CohortSpec::default() };
    let given = !spec.cohorts.is_empty();
    let cohorts = if given { spec.cohorts.clone() } else { PERCENTS.map(of_percent).to_vec() };
    let bake = read_bake(spec.bake.as_deref(), BAKE, || at("bake"), problems);
    if cohorts.len() > MAX_STAGES {
        problems.push(Problem::new(at("cohorts"), format!("a rollout has at most {MAX_STAGES} stages")));
    }
    let mut stages: Vec<Stage> = Vec::new();
    let mut most = 0.0;
    for (position, cohort) in cohorts.iter().enumerate().take(MAX_STAGES) {
        let here = path::item(&at("cohorts"), position);
        let bake = read_bake(cohort.bake.as_deref(), bake, || path::member(&here, "bake"), problems);
        let (title, own) = match (cohort.percent, cohort.label.as_deref()) {
            (Some(percent), None) if percent > most && percent <= 100.0 => {
                most = percent;
                (format!("{percent} %"), Cohort::of_percent(percent))
            }
            (Some(_), None) => {
                let reason = format!("expects more than the {most} percent before it, and 100 at most");
                problems.push(Problem::new(path::member(&here, "percent"), reason));
                continue;
            }
            (None, Some(label)) => match label_id(label) {
                Some(id) => (format!("label {label}"), Cohort::of_label(id)),
                None => {
                    let reason = format!("there is no label {label:?}; create it first");
                    problems.push(Problem::new(path::member(&here, "label"), reason));
                    continue;
                }
            },
            (Some(_), Some(_)) | (None, None) => {
                problems.push(Problem::new(here, "expects either percent or label"));
                continue;
            }
        };
        let cohort = match stages.last() {
            Some(before) => own.or(&before.cohort),
            None => own,
        };
        stages.push(Stage { title, cohort, bake_secs: bake.as_secs() });
    }
    if !stages.last().is_some_and(|last| last.cohort.is_everybody()) && problems.is_empty() {
        problems.push(Problem::new(at("cohorts"), "the last cohort must be 100 percent; add `- percent: 100`"));
    }
    check_gates(&spec.gates, |gate| path::member(&at("gates"), gate), problems);
    stages
}

fn read_bake(
    text: Option<&str>,
    default: Duration,
    at: impl FnOnce() -> String,
    problems: &mut Vec<Problem>,
) -> Duration {
    let Some(text) = text else { return default };
    let span = time_span(text).filter(|span| *span <= LONGEST_BAKE);
    span.unwrap_or_else(|| {
        problems.push(Problem::new(at(), "expects a time of 30 days at most, such as 4h, 30m or 90s"));
        default
    })
}

fn check_gates(gates: &RolloutGates, at: impl Fn(&str) -> String, problems: &mut Vec<Problem>) {
    for (name, gate) in named_gates(gates) {
        let GateSpec { above, times, .. } = gate.clone().unwrap_or_default();
        for (key, limit) in [("above", above), ("times", times)] {
            if limit.is_some_and(|limit| !limit.is_finite() || limit < 0.0) {
                problems.push(Problem::new(path::member(&at(name), key), "expects a number that is not negative"));
            }
        }
    }
}

/// All gates by their names.
pub(super) fn named_gates(gates: &RolloutGates) -> [(&'static str, &Option<GateSpec>); 10] {
    [
        ("checkin_loss", &gates.checkin_loss),
        ("cpu_per_run", &gates.cpu_per_run),
        ("cpu_total", &gates.cpu_total),
        ("denylisted", &gates.denylisted),
        ("errors", &gates.errors),
        ("memory_per_run", &gates.memory_per_run),
        ("memory_total", &gates.memory_total),
        ("result_bytes", &gates.result_bytes),
        ("stalled", &gates.stalled),
        ("worker_restarts", &gates.worker_restarts),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &RolloutSpec) -> (Vec<(String, u64)>, Vec<String>) {
        let mut problems = Vec::new();
        let label_id = |name: &str| (name == "canaries").then_some(7);
        let stages = read_stages(spec, |key| format!("spec.{key}"), label_id, &mut problems);
        let stages = stages.into_iter().map(|stage| (stage.title, stage.bake_secs)).collect();
        (stages, problems.into_iter().map(|problem| problem.path).collect())
    }

    fn percent(percent: f64) -> CohortSpec {
        CohortSpec { percent: Some(percent), ..CohortSpec::default() }
    }

    fn label(label: &str) -> CohortSpec {
        CohortSpec { label: Some(label.to_owned()), bake: Some("10s".to_owned()), ..CohortSpec::default() }
    }

    #[test]
    fn stages_are_those_of_the_document_or_the_usual_ones() {
        let hours = |percent: &str| (format!("{percent} %"), 14_400);
        assert_eq!(read(&RolloutSpec::default()), (["1", "5", "25", "100"].map(hours).to_vec(), vec![]));
        let cohorts = vec![label("canaries"), percent(0.5), percent(100.0)];
        let spec = RolloutSpec { cohorts, bake: Some("1m".to_owned()), ..RolloutSpec::default() };
        let stages = [("label canaries", 10), ("0.5 %", 60), ("100 %", 60)];
        assert_eq!(read(&spec), (stages.map(|(title, bake)| (title.to_owned(), bake)).to_vec(), vec![]));
    }

    #[test]
    fn stages_that_do_not_grow_or_do_not_end_with_all_hosts_are_refused() {
        let refused = |cohorts: Vec<CohortSpec>| read(&RolloutSpec { cohorts, ..RolloutSpec::default() }).1;
        assert_eq!(refused(vec![percent(5.0)]), ["spec.cohorts"]);
        assert_eq!(
            refused(vec![percent(5.0), percent(5.0), percent(101.0)]),
            ["spec.cohorts[1].percent", "spec.cohorts[2].percent"]
        );
        assert_eq!(refused(vec![label("nobody"), percent(100.0)]), ["spec.cohorts[0].label"]);
        assert_eq!(refused(vec![CohortSpec::default(), percent(100.0)]), ["spec.cohorts[0]"]);
        let gates =
            RolloutGates { errors: Some(GateSpec { above: Some(-1.0), ..GateSpec::default() }), ..Default::default() };
        let spec = RolloutSpec { gates, bake: Some("4 h".to_owned()), ..RolloutSpec::default() };
        assert_eq!(read(&spec).1, ["spec.bake", "spec.gates.errors.above"]);
    }
}
