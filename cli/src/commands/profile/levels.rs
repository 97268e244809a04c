use serde::Serialize;

use super::osqueryi::RunCost;

/// Bounds of the levels, as in osquery's own profile.py: a value up to the first is level 0, beyond the last one level 3.
const UTILIZATION: [f64; 3] = [8.0, 20.0, 50.0];
const CPU_SECONDS: [f64; 3] = [0.4, 1.0, 10.0];
const MEMORY_MIB: [f64; 3] = [8.0, 12.0, 24.0];
const FILES: [f64; 3] = [10.0, 20.0, 50.0];
const DURATION_SECONDS: [f64; 3] = [0.8, 1.0, 3.0];

/// How much a query burdens a host, from 0 to 3 for each resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Levels {
    pub utilization: usize,
    pub cpu_time: usize,
    pub memory: usize,
    pub files: usize,
    pub duration: usize,
}

impl Levels {
    pub fn of(cost: &RunCost) -> Self {
        let level = |value: f64, bounds: [f64; 3]| bounds.iter().filter(|bound| value > **bound).count();
        Self {
            utilization: level(cost.cpu_ms / cost.wall_ms.max(1.0) * 100.0, UTILIZATION),
            cpu_time: level(cost.cpu_ms / 1000.0, CPU_SECONDS),
            memory: level(cost.memory_bytes as f64 / 1_048_576.0, MEMORY_MIB),
            files: level(cost.open_files as f64, FILES),
            duration: level(cost.wall_ms / 1000.0, DURATION_SECONDS),
        }
    }
}

impl std::fmt::Display for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { utilization, cpu_time, memory, files, duration } = self;
        write!(f, "U:{utilization} C:{cpu_time} M:{memory} F:{files} D:{duration}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_a_level_up_to_its_bound() {
        let cost = RunCost { cpu_ms: 400.0, wall_ms: 800.0, memory_bytes: 13 << 20, open_files: 51, rows: 1 };
        assert_eq!(Levels::of(&cost).to_string(), "U:2 C:0 M:2 F:3 D:0");
        let cost = RunCost { cpu_ms: 10_001.0, wall_ms: 3_001.0, memory_bytes: 0, open_files: 0, rows: 0 };
        assert_eq!(Levels::of(&cost).to_string(), "U:3 C:3 M:0 F:0 D:3");
    }
}
