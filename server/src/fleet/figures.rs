//! Sizes of what this node holds in memory.

use super::Fleet;

/// One size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetFigure {
    pub name: &'static str,
    pub value: usize,
    pub unit: &'static str,
    /// The most it may be, if anything but the number of hosts bounds it.
    pub bound: Option<usize>,
}

impl Fleet {
    /// The sizes as they are now. Takes a few locks for a moment each.
    pub fn figures(&self) -> Vec<FleetFigure> {
        let unbounded = |name, value, unit| FleetFigure { name, value, unit, bound: None };
        let bounded = |name, (value, bound), unit| FleetFigure { name, value, unit, bound: Some(bound) };
        let (open, in_memory) = self.live.jobs_in_memory();
        let [samples, sample_bytes] = self.statistics.waiting_samples();
        vec![
            unbounded("host directory", self.hosts.directory.len(), "hosts"),
            unbounded("host index", self.hosts.index.len(), "hosts"),
            bounded("config cache", self.schedule.cached_bytes(), "bytes"),
            bounded("log lines in flight", self.logs.bytes_in_flight(), "bytes"),
            bounded("enrollments in batches", self.hosts.enrolling(), "requests"),
            bounded("key look-ups in batches", self.hosts.looking_up(), "requests"),
            bounded("refreshes in batches", self.checkin.asking(), "requests"),
            bounded("host reports waiting", self.checkin.waiting_reports(), "hosts"),
            bounded("samples waiting", samples, "hosts"),
            bounded("bytes of samples waiting", sample_bytes, "bytes"),
            unbounded("open live queries", open, "live queries"),
            unbounded("live queries in memory", in_memory, "live queries"),
            bounded("followers of live queries", self.live.watching(), "followers"),
        ]
    }
}
