use super::due::{Due, RefreshIntervals, due};
use super::round::Round;
use crate::clock::Moment;
use crate::fleet::schedule::Plan;
use crate::store::reports::RefreshRecord;

/// The needs of a host, worked out from a record of when it was asked. A check-in sees two of these records: memory's, and the
/// host's row under its lock. They seldom differ, and only one that does is worked out anew.
#[derive(Debug, Clone)]
pub(super) struct RefreshCheck {
    record: RefreshRecord,
    pub need: RefreshNeed,
}

/// What is next for a host.
#[derive(Debug, Clone)]
pub(super) enum RefreshNeed {
    /// A round is open.
    Open(Round),
    /// No round is open, and this is due.
    Due(Due),
    /// Nothing is due before this moment.
    Nothing(Moment),
}

impl RefreshNeed {
    /// Whether a host would be asked for statistics and nothing else.
    pub(super) fn is_statistics_alone(&self) -> bool {
        matches!(self, Self::Due(Due { details: false, labels: false, statistics: true, schema: false }))
    }
}

impl RefreshCheck {
    pub(super) fn of(record: RefreshRecord, plan: &Plan, intervals: RefreshIntervals, now: Moment) -> Self {
        let need = match record.open_round.as_deref().and_then(Round::of_text) {
            Some(round) => RefreshNeed::Open(round),
            None => match due(&record, plan, intervals, now) {
                (due, _) if due.any() => RefreshNeed::Due(due),
                (_, next) => RefreshNeed::Nothing(next),
            },
        };
        Self { record, need }
    }

    /// Whether the host has still this record.
    pub(super) fn is_of(&self, record: &RefreshRecord) -> bool {
        self.record == *record
    }

    /// Whether somebody may wait for the answers.
    pub(super) fn is_awaited(&self) -> bool {
        is_awaited(&self.record)
    }

    /// The check of a later record, under the same plan and at the same moment.
    pub(super) fn renewed(self, record: RefreshRecord, plan: &Plan, intervals: RefreshIntervals, now: Moment) -> Self {
        if self.record == record { self } else { Self::of(record, plan, intervals, now) }
    }
}

/// Whether somebody may wait for what a host says: nothing is known of it yet, or an operator wants it asked anew.
pub(super) fn is_awaited(asked: &RefreshRecord) -> bool {
    asked.refetch_requested || asked.detail_updated_at.min(asked.label_updated_at) == Moment::NEVER
}
