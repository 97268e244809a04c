use super::section::section;

section! {
    /// Faults on purpose, for tests; only in builds with the feature `planted-faults`, which is never shipped. 0 plants none.
    "planted" Planted {
        /// Acknowledge one in N log lines without storing it.
        drop_one_line_in: usize = 0,
        /// Store one in N log lines twice.
        double_one_line_in: usize = 0,
        /// Delay one in N requests of agents by a second.
        delay_one_request_in: usize = 0,
        /// Answer one in N config requests with the configuration of another host.
        mix_one_config_in: usize = 0,
    }
}
