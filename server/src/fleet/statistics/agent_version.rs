use std::fmt;

/// The first three numbers of an agent's version, all that its behaviour depends on. `0.0.0` if it names none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::fleet) struct AgentVersion([u16; 3]);

/// Words of versions after which counters outlive the worker, and so on.
const PERSISTS: AgentVersion = AgentVersion([5, 12, 0]);
const MEASURES_RUNS: AgentVersion = AgentVersion([5, 3, 0]);
const COUNTS_MILLISECONDS: AgentVersion = AgentVersion([3, 3, 0]);
const LOSES_SIZE: AgentVersion = AgentVersion([3, 4, 0]);

impl AgentVersion {
    /// Reads `5.23.0-38-ga5b14f63d` as 5.23.0.
    pub fn of(text: &str) -> Self {
        let mut numbers = [0; 3];
        for (number, part) in numbers.iter_mut().zip(text.trim().split('.')) {
            let digits = part.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(part.len());
            *number = part[..digits].parse().unwrap_or(0);
        }
        Self(numbers)
    }

    pub fn is_known(self) -> bool {
        self != Self::default()
    }

    /// Whether the worker keeps its counters in memory alone, so that they begin anew with each worker.
    pub fn forgets_counters(self) -> bool {
        self.is_known() && self < PERSISTS
    }

    /// Milliseconds in a unit of CPU time.
    pub fn cpu_unit(self, platform: &str) -> u64 {
        match self.is_known() && self < COUNTS_MILLISECONDS {
            false => 1,
            true if platform == "windows" => 1000,
            true if platform == "darwin" => 1,
            // Ticks of the clock.
            true => 10,
        }
    }

    /// Whether `output_size` is counted; agents from 3.4 to 5.2 leave it at zero.
    pub fn counts_output(self) -> bool {
        self >= MEASURES_RUNS || self < LOSES_SIZE
    }

    /// As one number, for bytes in the database.
    pub fn packed(self) -> u64 {
        self.0.iter().fold(0, |packed, number| packed << 16 | u64::from(*number))
    }

    pub fn unpacked(packed: u64) -> Self {
        Self([32, 16, 0].map(|shift| (packed >> shift & 0xffff) as u16))
    }
}

impl fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_compared_and_packed() {
        for (text, shown) in [
            ("5.23.0-38-ga5b14f63d", "5.23.0"),
            ("5.12", "5.12.0"),
            ("3.3.2", "3.3.2"),
            ("", "0.0.0"),
            ("unknown", "0.0.0"),
            ("5.70000.1", "5.0.1"),
        ] {
            let version = AgentVersion::of(text);
            assert_eq!(version.to_string(), shown);
            assert_eq!(AgentVersion::unpacked(version.packed()), version);
        }
        let forgets = |text| AgentVersion::of(text).forgets_counters();
        assert!(forgets("5.11.0") && forgets("3.0.0") && !forgets("5.12.0") && !forgets("5.23.1") && !forgets(""));
        let unit = |text, platform| AgentVersion::of(text).cpu_unit(platform);
        assert_eq!(unit("3.2.9", "ubuntu"), 10);
        assert_eq!(unit("3.2.9", "windows"), 1000);
        assert_eq!(unit("3.3.0", "ubuntu"), 1);
        assert_eq!(unit("", "ubuntu"), 1);
        let counts = |text| AgentVersion::of(text).counts_output();
        assert!(counts("3.3.2") && !counts("3.4.0") && !counts("5.2.9") && counts("5.3.0"));
    }
}
