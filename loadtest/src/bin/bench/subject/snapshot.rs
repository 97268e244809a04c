//! Counters of what is measured, at one moment.

use std::collections::BTreeMap;

/// Counters at one moment, taken so that the taking costs what lies outside of two of them.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub cpu_us: u64,
    pub database_cpu_us: Option<u64>,
    pub numbers: BTreeMap<String, f64>,
}

impl Snapshot {
    /// The sum of the numbers whose line begins so; `None` if there is none.
    pub fn number(&self, begins: &str) -> Option<f64> {
        let found: Vec<f64> =
            self.numbers.iter().filter(|(name, _)| name.starts_with(begins)).map(|(_, value)| *value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// Adds the counters of another node over the same data.
    pub fn add(&mut self, other: &Self) {
        self.cpu_us += other.cpu_us;
        self.database_cpu_us = self.database_cpu_us.or(other.database_cpu_us);
        for (name, number) in &other.numbers {
            *self.numbers.entry(name.clone()).or_default() += number;
        }
    }

    /// Requests answered by a handler.
    pub fn requests(&self, handler: &str) -> f64 {
        let mark = format!("handler=\"{handler}\"");
        let lines =
            self.numbers.iter().filter(|(name, _)| name.starts_with("http_requests_total") && name.contains(&mark));
        lines.map(|(_, value)| value).sum()
    }
}
