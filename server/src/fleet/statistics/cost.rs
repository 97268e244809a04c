//! What runs of a query cost: how many, what they took together, and how that was distributed among them.

use super::bytes::{put, take};
use super::difference::Runs;
use super::sketch::Sketch;

/// The measures of a run, in the order in which they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    User,
    System,
    Cpu,
    Wall,
    Memory,
    Output,
}

impl Measure {
    const COUNT: usize = 6;
}

/// The runs of some hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Most hosts of one hour: each counts once an hour.
    pub hosts: u64,
    pub runs: u64,
    pub user_ms: u64,
    pub system_ms: u64,
    pub wall_ms: u64,
    pub output_bytes: u64,
    sketches: [Sketch; Measure::COUNT],
}

impl Cost {
    /// Adds the runs of a host. Each run counts with the mean of those that were sampled together.
    #[expect(clippy::cast_precision_loss, reason = "agents count far below 2^52")]
    pub fn add(&mut self, runs: &Runs, has_output: bool) {
        self.runs = self.runs.saturating_add(runs.runs);
        self.user_ms = self.user_ms.saturating_add(runs.user_ms);
        self.system_ms = self.system_ms.saturating_add(runs.system_ms);
        self.wall_ms = self.wall_ms.saturating_add(runs.wall_ms);
        self.output_bytes = self.output_bytes.saturating_add(runs.output_bytes);
        let mut add = |measure: Measure, all: u64| {
            self.sketches[measure as usize].add(all as f64 / runs.runs as f64, runs.runs);
        };
        add(Measure::User, runs.user_ms);
        add(Measure::System, runs.system_ms);
        add(Measure::Cpu, runs.user_ms.saturating_add(runs.system_ms));
        add(Measure::Wall, runs.wall_ms);
        if has_output {
            add(Measure::Output, runs.output_bytes);
        }
        self.sketches[Measure::Memory as usize].add(runs.memory_bytes as f64, runs.runs);
    }

    /// Adds other runs. How many hosts there are is left as it is.
    pub fn merge_runs(&mut self, other: &Self) {
        self.runs = self.runs.saturating_add(other.runs);
        self.user_ms = self.user_ms.saturating_add(other.user_ms);
        self.system_ms = self.system_ms.saturating_add(other.system_ms);
        self.wall_ms = self.wall_ms.saturating_add(other.wall_ms);
        self.output_bytes = self.output_bytes.saturating_add(other.output_bytes);
        for (sketch, other) in self.sketches.iter_mut().zip(&other.sketches) {
            sketch.merge(other);
        }
    }

    pub fn quantile(&self, measure: Measure, part: f64) -> Option<f64> {
        self.sketches[measure as usize].quantile(part)
    }

    pub fn cpu_ms(&self) -> u64 {
        self.user_ms.saturating_add(self.system_ms)
    }

    /// Bytes of the rows of a run, the mean of those runs of which the agent tells it.
    pub fn output_of_run(&self) -> Option<u64> {
        self.output_bytes.checked_div(self.sketches[Measure::Output as usize].runs())
    }

    pub fn put_into(&self, bytes: &mut Vec<u8>) {
        for number in [self.hosts, self.runs, self.user_ms, self.system_ms, self.wall_ms, self.output_bytes] {
            put(bytes, number);
        }
        self.sketches.iter().for_each(|sketch| sketch.put_into(bytes));
    }

    pub fn take_from(bytes: &mut &[u8]) -> Option<Self> {
        let [mut hosts, mut runs, mut user_ms, mut system_ms, mut wall_ms, mut output_bytes] = [0; 6];
        for number in [&mut hosts, &mut runs, &mut user_ms, &mut system_ms, &mut wall_ms, &mut output_bytes] {
            *number = take(bytes)?;
        }
        let mut sketches: [Sketch; Measure::COUNT] = Default::default();
        for sketch in &mut sketches {
            *sketch = Sketch::take_from(bytes)?;
        }
        Some(Self { hosts, runs, user_ms, system_ms, wall_ms, output_bytes, sketches })
    }
}
