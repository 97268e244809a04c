//! What was collected, line by line on standard error, and how much is left, if that is a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::collect::{Collected, NotCollected};
use crate::output;

const TICK: Duration = Duration::from_millis(120);

pub struct ArchiveProgress(Option<ProgressBar>);

impl ArchiveProgress {
    pub fn start(items: usize) -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(items as u64);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} of {len} collected, {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        }))
    }

    /// Prints what became of an item, in the words of Fleet.
    pub fn ended(&self, one: &Collected) {
        let name = format!("{}{}", one.node.folder, one.item.name);
        match &one.outcome {
            Ok(_) => self.print(&format!("Ran {name}")),
            Err(NotCollected { reason, is_absent: true }) => self.print(&format!("No {name}: {reason}")),
            Err(NotCollected { reason, .. }) => self.print(&format!("Failed {name}: {reason}")),
        }
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    pub fn print(&self, line: &str) {
        let line = output::printable(line);
        match &self.0 {
            Some(bar) => bar.suspend(|| output::note(&line)),
            None => output::note(&line),
        }
    }

    pub fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
