use clap::builder::{PossibleValuesParser, TypedValueParser};
use muster_api::rest::{LiveCounts, LiveStatus, TargetState};

/// States in output order with their names in the API.
pub const STATES: [(TargetState, &str); 11] = [
    (TargetState::Answered, "answered"),
    (TargetState::Failed, "failed"),
    (TargetState::Denylisted, "denylisted"),
    (TargetState::Skipped, "skipped"),
    (TargetState::Suspect, "suspect"),
    (TargetState::Lost, "lost"),
    (TargetState::Sent, "sent"),
    (TargetState::Pending, "pending"),
    (TargetState::Expired, "expired"),
    (TargetState::Cancelled, "cancelled"),
    (TargetState::Gone, "gone"),
];

pub fn name(state: TargetState) -> &'static str {
    STATES.iter().find(|(known, _)| *known == state).map_or("unknown", |(_, name)| name)
}

/// Parses a state from the command line.
pub fn parser() -> impl TypedValueParser<Value = TargetState> {
    PossibleValuesParser::new(STATES.map(|(_, name)| name)).try_map(|given| {
        let found = STATES.iter().find(|(_, name)| *name == given);
        found.map(|(state, _)| *state).ok_or_else(|| format!("{given} is not a state"))
    })
}

pub fn count(counts: &LiveCounts, state: TargetState) -> u64 {
    match state {
        TargetState::Pending => counts.pending,
        TargetState::Sent => counts.sent,
        TargetState::Answered => counts.answered,
        TargetState::Failed => counts.failed,
        TargetState::Denylisted => counts.denylisted,
        TargetState::Skipped => counts.skipped,
        TargetState::Suspect => counts.suspect,
        TargetState::Lost => counts.lost,
        TargetState::Expired => counts.expired,
        TargetState::Cancelled => counts.cancelled,
        TargetState::Gone => counts.gone,
    }
}

pub fn status(status: LiveStatus) -> &'static str {
    match status {
        LiveStatus::Open => "open",
        LiveStatus::Complete => "complete",
        LiveStatus::Cancelled => "cancelled",
        LiveStatus::Stopped => "stopped",
        LiveStatus::Expired => "expired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_api() {
        for (state, name) in STATES {
            assert_eq!(serde_json::to_value(state).unwrap(), name);
        }
        for known in [LiveStatus::Open, LiveStatus::Complete, LiveStatus::Cancelled] {
            assert_eq!(serde_json::to_value(known).unwrap(), status(known));
        }
    }
}
