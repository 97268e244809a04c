//! Facts added to every log line.

use std::collections::BTreeMap;

use super::{Agent, flags::Flags};

/// The present decorations by when they are renewed.
#[derive(Debug, Default)]
pub(super) struct Decorations {
    load: BTreeMap<String, String>,
    always: BTreeMap<String, String>,
    interval: BTreeMap<String, String>,
}

/// When a decorator runs.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    /// A configuration was loaded.
    Load,
    /// A scheduled query is about to run.
    Always,
    /// The first second was the latest examined before, the second is now.
    Interval(u64, u64),
}

impl Decorations {
    /// All of them, by name.
    pub fn merged(&self, flags: &Flags) -> BTreeMap<&str, &str> {
        if flags.disable_decorators {
            return BTreeMap::new();
        }
        let all = self.load.iter().chain(&self.always).chain(&self.interval);
        all.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

impl Agent {
    /// Runs the decorators of this moment; of each only the first row counts.
    pub(super) fn decorate(&mut self, moment: Moment, now_ms: u64) {
        if self.flags.disable_decorators {
            return;
        }
        let document = self.schedule.document();
        let decorators = &document.decorators;
        let due: Vec<&String> = match moment {
            Moment::Load => {
                self.decorations = Decorations::default();
                decorators.load.iter().collect()
            }
            Moment::Always => decorators.always.iter().collect(),
            Moment::Interval(before_s, now_s) => decorators
                .interval
                .iter()
                .filter(|(period_s, _)| now_s / period_s != before_s / period_s)
                .map(|(_, sql)| sql)
                .collect(),
        };
        for sql in due {
            let (Ok(rows), _) = self.ask(sql, now_ms) else {
                continue;
            };
            let target = match moment {
                Moment::Load => &mut self.decorations.load,
                Moment::Always => &mut self.decorations.always,
                Moment::Interval(..) => &mut self.decorations.interval,
            };
            target.extend(rows.into_iter().next().into_iter().flatten());
        }
    }
}
