//! Counts answers for the summary.

use std::collections::HashMap;

use muster_api::rest::{LiveAnswer, TargetState};

use crate::output::printable;

/// Maximum number of distinct messages.
const MESSAGES: usize = 20;
/// Characters kept of a message.
const MESSAGE_LENGTH: usize = 300;
/// Maximum number of suspects that are named.
const NAMES: usize = 20;

#[derive(Default)]
pub struct AnswerTally {
    pub answered: u64,
    /// Number of failures by message.
    pub failures: HashMap<String, u64>,
    /// Failures whose messages exceed the limit.
    pub other_failures: u64,
    pub suspects: Vec<String>,
}

impl AnswerTally {
    pub fn count(&mut self, answer: &LiveAnswer) {
        match answer.state {
            TargetState::Answered => self.answered += 1,
            TargetState::Failed => self.count_failure(answer),
            TargetState::Suspect if self.suspects.len() < NAMES => {
                self.suspects.push(one_line(&answer.hostname));
            }
            _ => {}
        }
    }

    fn count_failure(&mut self, answer: &LiveAnswer) {
        let message = error(answer).unwrap_or_default();
        let message: String = one_line(message).chars().take(MESSAGE_LENGTH).collect();
        if let Some(count) = self.failures.get_mut(&message) {
            *count += 1;
        } else if self.failures.len() < MESSAGES {
            self.failures.insert(message, 1);
        } else {
            self.other_failures += 1;
        }
    }
}

/// Whether an answer is printed; as in Fleet, hosts that were never reached are not.
pub fn is_shown(answer: &LiveAnswer) -> bool {
    answer.state == TargetState::Answered || error(answer).is_some()
}

/// Why a host has no rows.
pub fn error(answer: &LiveAnswer) -> Option<&str> {
    let known = match answer.state {
        TargetState::Failed => "the agent could not run the query and gave no reason",
        TargetState::Denylisted => "the agent refuses the query (denylisted) because it stopped its worker before",
        TargetState::Suspect => "the query probably stopped the agent's worker",
        TargetState::Lost => "the agent received the query twice and did not answer",
        TargetState::Answered
        | TargetState::Skipped
        | TargetState::Pending
        | TargetState::Sent
        | TargetState::Expired
        | TargetState::Cancelled
        | TargetState::Gone => return None,
    };
    Some(answer.error.as_deref().filter(|error| !error.is_empty()).unwrap_or(known))
}

/// The warning about an answer: its error, or that rows are missing.
pub fn warning(answer: &LiveAnswer) -> Option<String> {
    let host = one_line(&answer.hostname);
    if let Some(error) = error(answer) {
        return Some(format!("{host}: {}", one_line(error)));
    }
    let rows = answer.rows.len();
    let sent = answer.rows_sent.map_or_else(String::new, |sent| format!(" of {sent}"));
    // The table guard says so when it was the reason.
    let why = answer.error.as_deref().map_or_else(String::new, |error| format!(" ({})", one_line(error)));
    answer.truncated.then(|| format!("{host}: truncated, only {rows}{sent} rows were kept{why}"))
}

/// Where the files will be that a host is to send now.
pub fn carve_note(answer: &LiveAnswer) -> Option<String> {
    let (host, first) = (one_line(&answer.hostname), one_line(answer.carves.first()?));
    let more = match answer.carves.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more: fleetctl get carves)"),
    };
    Some(format!("{host}: sends files within some minutes; then: fleetctl get carve {first} --outfile FILE{more}"))
}

fn one_line(text: &str) -> String {
    printable(&text.replace(['\r', '\n'], " "))
}

#[cfg(test)]
pub mod tests {
    use muster_api::rest::LiveAnswer;
    use serde_json::{Value, json};

    use super::*;

    pub fn answer(hostname: &str, state: &str, rows: Value, error: Option<&str>) -> LiveAnswer {
        let at = "2026-08-01T12:00:05Z";
        let answer = json!({
            "cursor": 1, "host_id": 1, "hostname": hostname, "state": state, "rows": rows, "error": error, "at": at,
        });
        serde_json::from_value(answer).unwrap()
    }

    #[test]
    fn failures_are_never_silent() {
        let none = || json!([]);
        let say = |state, error| warning(&answer("h\n", state, none(), error));
        assert_eq!(say("failed", Some("no such\ntable: \u{1b}x")).unwrap(), "h : no such table: \u{fffd}x");
        assert_eq!(say("failed", Some("")).unwrap(), "h : the agent could not run the query and gave no reason");
        assert!(say("suspect", None).unwrap().contains("probably stopped"));
        assert_eq!(say("answered", None), None);
        assert_eq!(say("expired", None), None);
        assert_eq!(say("skipped", Some("the discovery query found nothing there")), None);
        let mut carving = answer("h\u{7}", "answered", json!([{}]), None);
        assert_eq!(carve_note(&carving), None);
        carving.carves = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(
            carve_note(&carving).unwrap(),
            "h\u{fffd}: sends files within some minutes; then: fleetctl get carve one --outfile FILE \
             (and 1 more: fleetctl get carves)"
        );
        let mut cut = answer("h", "answered", json!([{}]), None);
        cut.truncated = true;
        assert_eq!(warning(&cut).unwrap(), "h: truncated, only 1 rows were kept");
        cut.rows_sent = Some(9);
        assert_eq!(warning(&cut).unwrap(), "h: truncated, only 1 of 9 rows were kept");
        cut.error = Some("cut off: the table guard keeps 1 rows\nof the answer of a host".to_owned());
        assert_eq!(
            warning(&cut).unwrap(),
            "h: truncated, only 1 of 9 rows were kept (cut off: the table guard keeps 1 rows of the answer of a host)"
        );
    }

    #[test]
    fn messages_are_counted_within_a_bound() {
        let mut tally = AnswerTally::default();
        for index in 0..MESSAGES + 5 {
            let message = format!("message {index}");
            tally.count(&answer("h", "failed", json!([]), Some(&message)));
        }
        tally.count(&answer("h", "failed", json!([]), Some("message 3")));
        assert_eq!((tally.failures.len(), tally.failures["message 3"], tally.other_failures), (MESSAGES, 2, 5));
    }
}
