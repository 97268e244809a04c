use super::section::section;

section! {
    /// Faults on purpose: only in builds with the feature `planted-faults`, which nobody ships. 0 plants none.
    "planted" Planted {
        /// Acknowledge one in so many log lines without keeping it.
        drop_one_line_in: usize = 0,
        /// Keep one in so many log lines twice.
        double_one_line_in: usize = 0,
        /// Let one in so many requests of agents wait for a second.
        delay_one_request_in: usize = 0,
        /// Answer one in so many config requests with the config of another host.
        mix_one_config_in: usize = 0,
    }
}
