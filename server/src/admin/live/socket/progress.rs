use muster_api::rest::{CampaignStatus, CampaignTotals};

/// What a client was told last, so that it is told again only what has changed.
#[derive(Debug, Default)]
pub(super) struct SocketProgress {
    totals: Option<CampaignTotals>,
    status: Option<CampaignStatus>,
    is_paused: bool,
}

impl SocketProgress {
    /// The totals, if they are news. Whoever is online is expected to answer.
    pub(super) fn totals(&mut self, totals: CampaignTotals) -> Option<CampaignTotals> {
        (self.totals.replace(totals) != Some(totals)).then_some(totals)
    }

    /// Notes whether the campaign is paused.
    pub(super) fn paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// The status, if it is news. It is finished when as many have answered as are online, or nobody is asked any more.
    pub(super) fn status(&mut self, actual: u64, is_over: bool) -> Option<CampaignStatus> {
        let expected = self.totals.map_or(0, |totals| totals.online);
        let status = if is_over || actual >= expected { "finished" } else { "pending" };
        let status = CampaignStatus {
            expected_results: expected,
            actual_results: actual,
            status: status.to_owned(),
            paused: self.is_paused,
        };
        (self.status.replace(status.clone()).as_ref() != Some(&status)).then_some(status)
    }

    /// The status, if it is news that the campaign is finished.
    pub(super) fn finished(&mut self, actual: u64, is_over: bool) -> Option<CampaignStatus> {
        let is_told = self.status.as_ref().is_some_and(|status| status.status == "finished");
        let expected = self.totals.map_or(0, |totals| totals.online);
        if is_told || !(is_over || actual >= expected) { None } else { self.status(actual, is_over) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(online: u64) -> CampaignTotals {
        CampaignTotals { count: 3, online, offline: 3 - online, missing_in_action: 0 }
    }

    #[test]
    fn only_changes_are_told() {
        let mut progress = SocketProgress::default();
        assert_eq!(progress.totals(totals(2)), Some(totals(2)));
        assert_eq!(progress.totals(totals(2)), None);
        assert_eq!(progress.totals(totals(1)), Some(totals(1)));
        assert_eq!(progress.status(0, false).unwrap().status, "pending");
        assert_eq!(progress.status(0, false), None);
        progress.paused(true);
        assert!(progress.status(0, false).unwrap().paused);
        progress.paused(false);
        assert!(!progress.status(0, false).unwrap().paused);
        assert_eq!(progress.status(1, false).unwrap().status, "finished");
        assert_eq!(progress.status(2, false).unwrap().actual_results, 2);
        assert_eq!(progress.status(2, true), None);
    }

    #[test]
    fn the_end_is_told_once() {
        let mut progress = SocketProgress::default();
        progress.totals(totals(2));
        progress.status(0, false);
        assert_eq!(progress.finished(1, false), None);
        assert_eq!(progress.finished(2, false).unwrap().expected_results, 2);
        assert_eq!(progress.finished(3, false), None);
        let mut progress = SocketProgress::default();
        progress.totals(totals(2));
        assert_eq!(progress.finished(0, true).unwrap().status, "finished", "nobody is asked any more");
    }
}
