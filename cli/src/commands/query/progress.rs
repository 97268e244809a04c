use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use muster_api::rest::LiveQuery;

use crate::output;

/// How often progress is printed_at where nobody can see a line change.
const PLAIN_GAP: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(120);

/// How far a live query is, in the words of Fleet.
pub fn progress(job: &LiveQuery) -> String {
    let targets = job.counts.targets;
    let responded = job.counts.answered + job.counts.failed + job.counts.denylisted + job.counts.skipped;
    // A host that has responded was online, whatever it did since.
    let online = job.online.max(responded);
    let percent = |whole: u64| (responded * 100).checked_div(whole).unwrap_or(0);
    format!(
        " {}% responded ({}% online) | {responded}/{targets} targeted hosts ({responded}/{online} online)",
        percent(targets),
        percent(online)
    )
}

/// Standard error while answers come: a line that is rewritten on a terminal, a line now and then elsewhere.
pub struct Screen {
    bar: Option<ProgressBar>,
    is_quiet: bool,
    status: String,
    printed_at: Option<Instant>,
}

impl Screen {
    pub fn new(is_quiet: bool) -> Self {
        let bar = (!is_quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner}{msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, is_quiet, status: String::new(), printed_at: None }
    }

    /// Says how far things are.
    pub fn status(&mut self, text: String) {
        if self.is_quiet || self.status == text {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_message(text.clone());
        } else if self.printed_at.is_none_or(|printed_at| printed_at.elapsed() >= PLAIN_GAP) {
            output::note(&text);
            self.printed_at = Some(Instant::now());
        }
        self.status = text;
    }

    /// Says something in passing, unless silence is wanted.
    pub fn print(&self, text: &str) {
        if !self.is_quiet {
            self.complain(text);
        }
    }

    /// Says what must not be missed.
    pub fn complain(&self, text: &str) {
        self.suspend(|| output::note(text));
    }

    /// Writes data to standard output.
    pub fn data(&self, text: &str) -> anyhow::Result<()> {
        self.suspend(|| output::data(text))
    }

    /// Leaves the last status on the screen.
    pub fn end(&mut self, last: String) {
        if self.is_quiet {
            return;
        }
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        output::note(&last);
    }

    fn suspend<T>(&self, act: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(act),
            None => act(),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// A live query with targets in the states that matter while it is open.
    pub fn job(pending: u64, sent: u64, answered: u64, online: u64) -> LiveQuery {
        let mut counts = serde_json::to_value(muster_api::rest::LiveCounts::default()).unwrap();
        counts["targets"] = (pending + sent + answered).into();
        counts["pending"] = pending.into();
        counts["sent"] = sent.into();
        counts["answered"] = answered.into();
        let job = json!({
            "id": 7, "query": "select 1", "created_at": "2026-08-01T12:00:00Z", "deadline": "2026-08-01T13:00:00Z",
            "author_id": 1, "author_email": "a@b.c", "status": "open", "counts": counts, "online": online,
            "online_waiting": 0,
        });
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn progress_reads_as_in_fleet() {
        assert_eq!(progress(&job(1, 0, 5, 5)), " 83% responded (100% online) | 5/6 targeted hosts (5/5 online)");
        assert_eq!(progress(&job(0, 0, 0, 0)), " 0% responded (0% online) | 0/0 targeted hosts (0/0 online)");
        // Four of those that answered have gone to sleep.
        assert_eq!(progress(&job(1, 0, 5, 1)), progress(&job(1, 0, 5, 5)));
    }

    #[test]
    fn what_did_not_respond_is_not_said_to_have() {
        let mut job = job(1, 1, 2, 4);
        job.counts.targets = 7;
        (job.counts.failed, job.counts.suspect, job.counts.lost) = (1, 1, 1);
        assert_eq!(progress(&job), " 42% responded (75% online) | 3/7 targeted hosts (3/4 online)");
    }
}
