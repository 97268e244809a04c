use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use muster_api::rest::{LiveCanaries, LiveQuery};

use crate::output;

/// How often progress is printed when standard error is not a terminal.
const PLAIN_GAP: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(120);

/// The progress line of a live query, worded as in Fleet. Behind it stands the pace, if there is one.
pub fn progress(job: &LiveQuery) -> String {
    let targets = job.counts.targets;
    let responded = job.counts.answered + job.counts.failed + job.counts.denylisted + job.counts.skipped;
    // A host that responded counts as online even if it went offline since.
    let online = job.online.max(responded);
    let percent = |whole: u64| (responded * 100).checked_div(whole).unwrap_or(0);
    let pace = match (job.paused, job.rate) {
        (true, _) => format!(" | paused, given to {}", job.given),
        (false, 0) => String::new(),
        (false, rate) => format!(" | {rate} hosts/s, given to {}", job.given),
    };
    let canaries = match job.canaries {
        Some(LiveCanaries { hosts, settled, waiting, until: Some(_) }) => {
            format!(" | {hosts} canaries first, {settled} done; {waiting} hosts wait")
        }
        _ => String::new(),
    };
    format!(
        " {}% responded ({}% online) | {responded}/{targets} targeted hosts ({responded}/{online} online){canaries}{pace}",
        percent(targets),
        percent(online)
    )
}

/// Progress on standard error: a line updated in place on a terminal, occasional lines elsewhere.
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

    /// Updates the progress line.
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

    /// Prints a message unless `--quiet` is set.
    pub fn print(&self, text: &str) {
        if !self.is_quiet {
            self.print_always(text);
        }
    }

    /// Prints a message even with `--quiet`.
    pub fn print_always(&self, text: &str) {
        self.suspend(|| output::note(text));
    }

    /// Writes data to standard output.
    pub fn data(&self, text: &str) -> anyhow::Result<()> {
        self.suspend(|| output::data(text))
    }

    /// Ends the progress line and prints the last status.
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

    /// An open live query with these counts.
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
        // Four of the hosts that answered are offline now.
        assert_eq!(progress(&job(1, 0, 5, 1)), progress(&job(1, 0, 5, 5)));
    }

    #[test]
    fn progress_says_how_fast_hosts_are_given_the_query() {
        let mut job = job(1, 0, 5, 5);
        (job.rate, job.given) = (50, 5);
        assert!(progress(&job).ends_with("(5/5 online) | 50 hosts/s, given to 5"), "{}", progress(&job));
        job.paused = true;
        assert!(progress(&job).ends_with("(5/5 online) | paused, given to 5"), "{}", progress(&job));
    }

    #[test]
    fn progress_says_how_many_hosts_wait_for_canaries() {
        let mut job = job(980, 5, 15, 1000);
        let until = Some(job.deadline);
        job.canaries = Some(LiveCanaries { hosts: 20, settled: 15, waiting: 980, until });
        assert!(
            progress(&job).ends_with(" online) | 20 canaries first, 15 done; 980 hosts wait"),
            "{}",
            progress(&job)
        );
        job.canaries = Some(LiveCanaries { hosts: 20, settled: 20, waiting: 0, until: None });
        assert!(progress(&job).ends_with(" online)"), "{}", progress(&job));
    }

    #[test]
    fn suspect_and_lost_hosts_have_not_responded() {
        let mut job = job(1, 1, 2, 4);
        job.counts.targets = 7;
        (job.counts.failed, job.counts.suspect, job.counts.lost) = (1, 1, 1);
        assert_eq!(progress(&job), " 42% responded (75% online) | 3/7 targeted hosts (3/4 online)");
    }
}
