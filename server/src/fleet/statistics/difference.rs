//! What a query has cost between two samples of a host.
//!
//! Counters begin anew now and then. Agents below 5.12 keep them in the memory of the worker: each worker begins at zero, and a
//! change of the SQL changes nothing. Later ones keep them on disk and begin at zero when a config changes the SQL, unless
//! the change came while no worker ran. A number that has become lower always says that they began anew; then what is
//! counted now has been counted since. Where an agent cannot tell both apart, the lower number is taken: what is said of a
//! query's cost is never more than it was.

use super::sample::Counters;

/// What may have made counters begin anew between two samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Since {
    pub is_other_worker: bool,
    pub is_other_sql: bool,
    /// The agent kept its counters in memory at either sample.
    pub forgets_counters: bool,
}

impl Since {
    /// Whether the counters certainly began anew, whatever they say.
    fn is_reset(self) -> bool {
        match self.forgets_counters {
            true => self.is_other_worker,
            false => self.is_other_sql && !self.is_other_worker,
        }
    }
}

/// The runs of a query on a host between two samples, and what they cost together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub runs: u64,
    pub user_ms: u64,
    pub system_ms: u64,
    pub wall_ms: u64,
    pub output_bytes: u64,
    /// What a run takes, as far as agents tell.
    pub memory_bytes: u64,
}

/// The runs between two samples. Those before counters began anew are not in it.
pub(super) fn difference(before: &Counters, after: &Counters, since: Since) -> Runs {
    let goes_on = !since.is_reset() && after.go_on_from(before);
    let base = if goes_on { *before } else { Counters::default() };
    Runs {
        runs: after.executions - base.executions,
        user_ms: after.user_ms - base.user_ms,
        system_ms: after.system_ms - base.system_ms,
        wall_ms: after.wall_ms - base.wall_ms,
        output_bytes: after.output_bytes - base.output_bytes,
        memory_bytes: after.memory(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(executions: u64) -> Counters {
        let (user_ms, wall_ms) = (executions * 10, executions * 15);
        Counters {
            executions,
            user_ms,
            system_ms: executions,
            wall_ms,
            output_bytes: executions * 7,
            ..Counters::default()
        }
    }

    /// Runs between samples of so many, and whether the cost is that of these runs.
    fn runs(before: u64, after: u64, worker: bool, sql: bool, forgets: bool) -> u64 {
        let since = Since { is_other_worker: worker, is_other_sql: sql, forgets_counters: forgets };
        let runs = difference(&ran(before), &ran(after), since);
        assert_eq!((runs.user_ms, runs.system_ms, runs.output_bytes), (runs.runs * 10, runs.runs, runs.runs * 7));
        runs.runs
    }

    #[test]
    fn counters_of_a_worker_begin_with_it() {
        assert_eq!(runs(5, 9, false, false, true), 4);
        assert_eq!(runs(5, 9, true, false, true), 9, "another worker");
        assert_eq!(runs(5, 9, false, true, true), 4, "other SQL changes nothing");
        assert_eq!(runs(5, 9, true, true, true), 9);
        assert_eq!(runs(5, 3, false, false, true), 3, "a worker of the same second and pid");
    }

    #[test]
    fn counters_on_disk_begin_with_the_sql() {
        assert_eq!(runs(5, 9, false, false, false), 4);
        assert_eq!(runs(5, 9, true, false, false), 4, "they outlive the worker");
        assert_eq!(runs(5, 9, false, true, false), 9, "other SQL");
        assert_eq!(runs(5, 9, true, true, false), 4, "cleared or not, which cannot be told: the lower number");
        assert_eq!(runs(5, 3, true, true, false), 3);
        assert_eq!(runs(5, 5, false, false, false), 0);
    }

    #[test]
    fn any_number_that_is_lower_says_that_all_began_anew() {
        let (before, mut after) = (ran(5), ran(9));
        after.user_ms = 3;
        let runs = difference(&before, &after, Since::default());
        assert_eq!((runs.runs, runs.user_ms, runs.wall_ms), (9, 3, 135));
    }

    #[test]
    fn memory_is_that_of_the_latest_run() {
        let runs = |average_memory, last_memory| {
            let after = Counters { average_memory, last_memory, ..ran(1) };
            difference(&Counters::default(), &after, Since::default()).memory_bytes
        };
        assert_eq!((runs(100, 7), runs(100, 0)), (7, 100));
    }
}
