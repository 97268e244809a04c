//! The alert rules and the dashboard in `charts/`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use muster::telemetry::metric_descriptions;
use serde_json::Value;

const ALERTS: &str = include_str!("../../../../charts/alerts.yml");
const TESTS: &str = include_str!("../../../../charts/alerts_test.yml");
const DASHBOARD: &str = include_str!("../../../../charts/dashboard.json");
const RUNBOOK: &str = include_str!("../../../../docs/alerts.md");

const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");

/// An alert of `charts/alerts.yml`.
struct Alert {
    name: String,
    expression: String,
    runbook: String,
}

fn alerts() -> Vec<Alert> {
    let document: Value = serde_yaml::from_str(ALERTS).unwrap();
    let groups = document["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rules
        .map(|rule| Alert {
            name: text(&rule["alert"]),
            expression: text(&rule["expr"]),
            runbook: text(&rule["annotations"]["runbook"]),
        })
        .collect()
}

/// Every expression of the dashboard.
fn panels() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let named = variables.filter(|variable| variable["type"] == "query").map(|variable| &variable["query"]);
    targets.map(|target| &target["expr"]).chain(named).map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The metrics that an expression names with the labels it selects by, and the labels it groups by.
#[derive(Debug, Default)]
struct Names {
    metrics: BTreeMap<String, BTreeSet<String>>,
    groups: BTreeSet<String>,
}

/// Words of the language that are no metrics.
const WORDS: [&str; 16] = [
    "sum",
    "max",
    "min",
    "avg",
    "count",
    "topk",
    "and",
    "or",
    "unless",
    "offset",
    "bool",
    "by",
    "without",
    "on",
    "group_left",
    "label_values",
];

impl Names {
    fn of(expression: &str) -> Self {
        let mut names = Self::default();
        let mut rest = expression;
        while let Some(c) = rest.chars().next() {
            let end = |is_part: fn(char) -> bool| rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let after = |text: &'static str| rest.find(text).map_or("", |at| &rest[at + 1..]);
            match c {
                '"' => rest = rest[1..].split_once('"').unwrap().1,
                '[' => rest = after("]"),
                '0'..='9' => rest = &rest[end(|c| c.is_ascii_alphanumeric() || c == '.')..],
                'a'..='z' | 'A'..='Z' | '_' => {
                    let (word, behind) = rest.split_at(end(|c| c.is_ascii_alphanumeric() || c == '_'));
                    rest = names.take(word, behind.trim_start());
                }
                _ => rest = &rest[c.len_utf8()..],
            }
        }
        names
    }

    /// Takes a word, and gives what is behind it and what belongs to it.
    fn take<'a>(&mut self, word: &str, behind: &'a str) -> &'a str {
        let list = |text: &str| -> BTreeSet<String> { text.split(',').map(|label| label.trim().to_owned()).collect() };
        match behind.chars().next() {
            Some('(') if ["by", "without", "on", "group_left"].contains(&word) => {
                let (labels, behind) = behind[1..].split_once(')').unwrap();
                self.groups.extend(list(labels));
                behind
            }
            Some('(') if word == "label_values" => {
                let (metric, label) = behind[1..].trim_end_matches(')').split_once(',').unwrap();
                self.metrics.entry(metric.to_owned()).or_default().extend(list(label));
                ""
            }
            Some('(') => behind,
            _ if WORDS.contains(&word) => behind,
            Some('{') => {
                let (matchers, behind) = behind[1..].split_once('}').unwrap();
                let labels = matchers.split("\",").map(|matcher| matcher.split(['=', '!']).next().unwrap().trim());
                self.metrics.entry(word.to_owned()).or_default().extend(labels.map(str::to_owned));
                behind
            }
            _ => {
                self.metrics.entry(word.to_owned()).or_default();
                behind
            }
        }
    }
}

#[test]
fn every_name_in_the_charts_is_that_of_a_metric() {
    // What Prometheus itself adds.
    let mut known: BTreeMap<String, BTreeSet<&str>> = BTreeMap::from([("up".to_owned(), BTreeSet::new())]);
    for metric in metric_descriptions() {
        let labels: BTreeSet<&str> = metric.labels.iter().copied().collect();
        if metric.kind == "histogram" {
            let with_bound = labels.iter().copied().chain(["le"]).collect();
            known.insert(format!("{}_bucket", metric.name), with_bound);
            known.insert(format!("{}_sum", metric.name), labels.clone());
            known.insert(format!("{}_count", metric.name), labels);
        } else {
            known.insert(metric.name.to_owned(), labels);
        }
    }
    let mut used = BTreeSet::new();
    for expression in alerts().into_iter().map(|alert| alert.expression).chain(panels()) {
        let names = Names::of(&expression);
        assert!(!names.metrics.is_empty(), "{expression}");
        let mut grouped: BTreeSet<&str> = BTreeSet::from(["job", "instance"]);
        for (metric, labels) in &names.metrics {
            let has = known.get(metric).unwrap_or_else(|| panic!("there is no metric {metric}: {expression}"));
            for label in labels {
                let is_there = has.contains(label.as_str()) || ["job", "instance"].contains(&label.as_str());
                assert!(is_there, "{metric} has no label {label}: {expression}");
            }
            grouped.extend(has);
        }
        for label in &names.groups {
            assert!(grouped.contains(label.as_str()), "no label {label}: {expression}");
        }
        used.extend(names.metrics.into_keys());
    }
    assert!(used.len() > 20, "{used:?}");
}

#[test]
fn every_alert_has_a_paragraph_and_a_test() {
    let paragraphs: BTreeMap<&str, &str> =
        RUNBOOK.split("\n## ").skip(1).map(|part| part.split_once('\n').unwrap()).collect();
    let tests: Value = serde_yaml::from_str(TESTS).unwrap();
    let tested = tests["tests"].as_array().unwrap().iter().flat_map(|test| test["alert_rule_test"].as_array().unwrap());
    let fired: BTreeSet<&str> = tested
        .filter(|test| test["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()))
        .map(|test| test["alertname"].as_str().unwrap())
        .collect();
    let mut names = BTreeSet::new();
    for Alert { name, runbook, .. } in alerts() {
        let paragraph = paragraphs.get(name.as_str()).unwrap_or_else(|| panic!("docs/alerts.md does not name {name}"));
        assert!(paragraph.trim().len() > 40, "{name}: {paragraph}");
        assert_eq!(runbook, format!("docs/alerts.md#{}", name.to_lowercase()));
        assert!(fired.contains(name.as_str()), "charts/alerts_test.yml does not show when {name} fires");
        names.insert(name);
    }
    let described: BTreeSet<String> = paragraphs.into_keys().map(str::to_owned).collect();
    assert_eq!(described, names);
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(CHARTS).output();
        let output = output.expect("promtool is there; scripts/install-test-services installs it");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}
