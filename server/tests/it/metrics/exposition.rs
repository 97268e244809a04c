//! A strict reader of Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};

/// All series of one name.
#[derive(Debug)]
pub struct MetricFamily {
    pub name: String,
    pub help: String,
    pub kind: String,
    pub samples: Vec<MetricSample>,
}

#[derive(Debug)]
pub struct MetricSample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl MetricSample {
    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// The labels without the bound of a bucket.
    fn series(&self) -> BTreeMap<&str, &str> {
        let labels = self.labels.iter().filter(|(name, _)| *name != "le");
        labels.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// Reads an exposition in which every family has help, type and samples in this order and once, and no series is there twice.
pub fn parse(text: &str) -> Vec<MetricFamily> {
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut families: Vec<MetricFamily> = Vec::new();
    let mut names = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect(line);
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect(line);
        assert!(is_name(name) && !help.trim().is_empty(), "{line}");
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{name}: {kind}");
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.push(sample(line));
        }
        assert!(!samples.is_empty(), "{name} has no samples");
        families.push(MetricFamily { name: name.to_owned(), help: help.to_owned(), kind: kind.to_owned(), samples });
    }
    families.iter().for_each(check);
    families
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn sample(line: &str) -> MetricSample {
    let end = line.find(['{', ' ']).expect(line);
    let (name, rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    let value = match rest.strip_prefix('{') {
        None => rest,
        Some(mut rest) => loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(after).expect(line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            if let Some(after) = after.strip_prefix('}') {
                break after;
            }
            rest = after.strip_prefix(',').expect(line);
        },
    };
    let value = value.strip_prefix(' ').expect(line);
    assert!(is_name(name) && !value.contains(' '), "{line}");
    MetricSample {
        name: name.to_owned(),
        labels,
        value: value.parse().unwrap_or_else(|error| panic!("{line}: {error}")),
    }
}

/// The value of a label up to its quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

fn check(family: &MetricFamily) {
    let MetricFamily { name, kind, samples, .. } = family;
    let mut series = BTreeSet::new();
    for sample in samples {
        assert!(series.insert((&sample.name, &sample.labels)), "{sample:?} is there twice");
        if kind == "histogram" {
            continue;
        }
        assert_eq!(&sample.name, name);
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(kind == "gauge" || sample.value >= 0.0, "{sample:?}");
    }
    if kind == "histogram" {
        check_histogram(family);
    }
}

/// Buckets rise with their bounds up to the count, and each histogram has the same ones.
fn check_histogram(family: &MetricFamily) {
    let mut histograms: BTreeMap<BTreeMap<&str, &str>, Vec<&MetricSample>> = BTreeMap::new();
    for sample in &family.samples {
        histograms.entry(sample.series()).or_default().push(sample);
    }
    let mut all_bounds = BTreeSet::new();
    for (labels, samples) in histograms {
        let named = |suffix: &str| {
            let name = format!("{}{suffix}", family.name);
            samples.iter().filter(|sample| sample.name == name).copied().collect::<Vec<_>>()
        };
        let (buckets, sum, count) = (named("_bucket"), named("_sum"), named("_count"));
        assert_eq!((sum.len(), count.len(), buckets.len() + 2), (1, 1, samples.len()), "{}: {labels:?}", family.name);
        let bounds: Vec<f64> = buckets.iter().map(|bucket| bucket.label("le").parse().unwrap()).collect();
        assert!(bounds.is_sorted_by(|a, b| a < b), "{}: {bounds:?}", family.name);
        assert!(buckets.iter().map(|bucket| bucket.value).is_sorted(), "{}: {labels:?}", family.name);
        let last = buckets.last().unwrap();
        assert_eq!((last.label("le"), last.value), ("+Inf", count[0].value), "{}: {labels:?}", family.name);
        all_bounds.insert(bounds.iter().map(|bound| bound.to_bits()).collect::<Vec<_>>());
    }
    assert_eq!(all_bounds.len(), 1, "{} has several kinds of buckets", family.name);
}
