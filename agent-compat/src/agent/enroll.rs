//! Enrollment: what is sent and what a key changes.

use std::collections::BTreeMap;

use super::{
    Agent,
    json::{push_name, push_raw_member, push_text_member},
    lines::Severity,
    own_tables::info_row,
    verdict::Verdict,
};
use crate::tables::Row;

impl Agent {
    pub(super) fn enroll_body(&self) -> Vec<u8> {
        let mut body = vec![b'{'];
        push_text_member(&mut body, "enroll_secret", &self.flags.enroll_secret);
        push_text_member(&mut body, "host_identifier", &self.identity.host_identifier);
        push_text_member(&mut body, "platform_type", self.identity.platform.mask());
        push_name(&mut body, "host_details");
        body.push(b'{');
        let info = info_row(&self.identity, self.process, &self.config);
        for (table, row) in [
            ("os_version", self.identity.os_version_row()),
            ("osquery_info", info),
            ("system_info", self.identity.system_info_row()),
            ("platform_info", self.identity.platform_info_row()),
        ] {
            push_raw_member(&mut body, table, sorted_object(&row));
        }
        body.extend_from_slice(b"}}");
        body
    }

    pub(super) fn absorb_enroll(&mut self, body: &[u8], now_ms: u64) -> Verdict {
        match Verdict::judge_enroll(body) {
            Ok(key) => {
                self.counters.enrollments += 1;
                let accepted = serde_json::json!({ "node_key": key });
                self.node_key = key;
                Verdict::Success(accepted)
            }
            Err(reason) => {
                let message = format!("Failed enrollment request to {} ({reason})", self.flags.paths.enroll);
                self.status(Severity::Warning, "tls_enroll.cpp", 74, &message, now_ms);
                Verdict::Failure(reason)
            }
        }
    }

    /// Most enrollment requests per need for a key.
    pub(super) fn max_enroll_attempts(&self) -> u32 {
        if !self.version.at_least(3, 4, 0) {
            return self.flags.config_tls_max_attempts;
        }
        match self.flags.tls_enroll_max_attempts {
            0 if self.version.at_least(4, 9, 0) => u32::MAX,
            attempts => attempts.max(1),
        }
    }

    /// The pause after this many failed enrollment requests, in milliseconds.
    pub(super) fn enroll_pause_ms(&self, failures: u32) -> u64 {
        let seconds = u64::from(failures).saturating_mul(u64::from(failures));
        let capped =
            if self.version.at_least(4, 9, 0) { seconds.min(self.flags.tls_enroll_max_interval) } else { seconds };
        capped * 1000
    }
}

fn sorted_object(row: &Row) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (name, value) in row.iter().map(|(name, value)| (name, value)).collect::<BTreeMap<_, _>>() {
        push_text_member(&mut out, name, value);
    }
    out.push(b'}');
    out
}
