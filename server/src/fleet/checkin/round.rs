//! One round of questions to a host. The host owes an answer to every question that was sent: agents never report a
//! query that stopped their worker, and those below 5.5 do not remember it either. So questions that stay unanswered
//! are asked again one by one, and one that stays unanswered twice when it was asked alone is parked.
//!
//! While a round is open it stands in the row of its host (`hosts.open_round`), with what was sent last and what was
//! lost. A host's requests may come to any node, and each goes on with the round from there:
//!
//! ```text
//!            next: all open questions            next: RETRY_WINDOW has passed
//!   new ───────────────────────────────▶ sent ────────────────────────────────▶ lost: retry_alone
//!                                         │                                        │ next: one question alone,
//!                                         │ answered: nothing open                 │ least often lost first
//!                                         ▼                                        ▼
//!                                       done ◀──── nothing open ──── answered, or lost alone twice: parked
//! ```
//!
//! Losing a read is no proof against any of its questions: all answers to a read come in one write, after the slowest
//! query, so one question that stops the worker takes the answers of all others with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Name;
use super::due::Due;
use crate::clock::Moment;
use crate::fleet::checkin::RETRY_WINDOW;
use crate::store::reports::RefreshRecord;

/// A question that was lost this often when asked alone is parked. Losing it once can be a laptop that was closed.
const LOSSES: u8 = 2;

/// Questions to a host that are not all answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    open: BTreeSet<Name>,
    sent: Option<SentQuestions>,
    /// After a loss, questions are asked one by one.
    retry_alone: bool,
    losses: BTreeMap<Name, u8>,
    due: Due,
    /// Labels made after this are not in it.
    started_at: Moment,
    /// The generation of the plan it was made from. A node with an older plan may not know some of its questions.
    generation: i64,
}

/// The last read of the host: all open questions, or one alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SentQuestions {
    at: Moment,
    alone: Option<Name>,
}

/// What to do when the host asks for work.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    Send(Vec<Name>),
    /// Answers are still owed.
    Wait,
    /// Every question is answered or parked.
    Done(Finished),
}

/// A round that is over: what it was for, and when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finished {
    pub due: Due,
    pub started_at: Moment,
}

impl Finished {
    /// Writes into a host's record that it has been asked.
    pub(super) fn note(self, asked: &mut RefreshRecord) {
        if self.due.details {
            if asked.refetch_requested {
                asked.statistics_updated_at = Moment::NEVER;
            }
            asked.detail_updated_at = asked.detail_updated_at.max(self.started_at);
            asked.refetch_requested = false;
        }
        if self.due.statistics {
            asked.statistics_updated_at = asked.statistics_updated_at.max(self.started_at);
        }
        if self.due.labels {
            asked.label_updated_at = asked.label_updated_at.max(self.started_at);
        }
        asked.open_round = None;
    }
}

/// The next step, and the questions that are parked with it, each with the reason.
#[derive(Debug)]
pub(super) struct RoundStep {
    pub step: NextStep,
    pub parked: Vec<(Name, String)>,
}

impl Round {
    pub(super) fn new(names: Vec<Name>, due: Due, started_at: Moment, generation: i64) -> Self {
        Self {
            open: names.into_iter().collect(),
            sent: None,
            retry_alone: false,
            losses: BTreeMap::new(),
            due,
            started_at,
            generation,
        }
    }

    pub(super) fn generation(&self) -> i64 {
        self.generation
    }

    /// Until then the round waits for answers.
    pub(super) fn waits_until(&self) -> Moment {
        match &self.sent {
            Some(sent) if self.owes_any(sent) => sent.at.plus(RETRY_WINDOW),
            _ => Moment::NEVER,
        }
    }

    fn owes_any(&self, sent: &SentQuestions) -> bool {
        sent.alone.map_or(!self.open.is_empty(), |name| self.open.contains(&name))
    }

    /// Takes the step that is due when the host asks for work at `now`.
    pub(super) fn next(&mut self, now: Moment) -> RoundStep {
        let mut parked = Vec::new();
        if now < self.waits_until() {
            return RoundStep { step: NextStep::Wait, parked };
        }
        // The host reads again after the window of an agent's retries: what it has not answered by now it never will.
        if let Some(sent) = self.sent.take() {
            self.retry_alone |= self.owes_any(&sent);
            // Only a question that was alone in its read is to blame for the loss.
            if let Some(name) = sent.alone.filter(|name| self.open.contains(name)) {
                let losses = self.losses.entry(name).or_default();
                *losses += 1;
                let is_lost = *losses >= LOSSES;
                if is_lost {
                    self.open.remove(&name);
                }
                // The worker may have been stopped by a scheduled query that this one has waited for.
                if is_lost && !name.is_apart() {
                    parked.push((
                        name,
                        format!(
                            "was asked alone {LOSSES} times and never answered: it probably stops the agent's worker"
                        ),
                    ));
                }
            }
        }
        let names: Vec<Name> = match self.retry_alone {
            // Least often lost first, so that one bad question does not keep the others waiting.
            true => self
                .open
                .iter()
                .min_by_key(|name| self.losses.get(name).copied().unwrap_or(0))
                .copied()
                .into_iter()
                .collect(),
            false => self.open.iter().copied().collect(),
        };
        if names.is_empty() {
            return RoundStep { step: NextStep::Done(self.finished()), parked };
        }
        // A last question that happens to be alone counts as asked alone, too.
        let alone = names.first().copied().filter(|_| names.len() == 1);
        self.sent = Some(SentQuestions { at: now, alone });
        RoundStep { step: NextStep::Send(names), parked }
    }

    /// Takes an answer, whatever it says. Returns whether the host owed it.
    pub(super) fn answered(&mut self, name: Name) -> bool {
        self.losses.remove(&name);
        self.open.remove(&name)
    }

    /// Drops questions that no longer exist; no answer to them is expected.
    pub(super) fn keep(&mut self, is_asked: impl Fn(Name) -> bool) {
        self.open.retain(|name| is_asked(*name));
    }

    /// What the round was for, if nothing is open any more.
    pub(super) fn is_done(&self) -> Option<Finished> {
        self.open.is_empty().then(|| self.finished())
    }

    fn finished(&self) -> Finished {
        Finished { due: self.due, started_at: self.started_at }
    }

    /// The text that stands in the row of the host.
    pub(super) fn to_text(&self) -> String {
        let stored = Stored {
            open: self.open.iter().map(Name::to_string).collect(),
            sent: self.sent.as_ref().map(|sent| (sent.at.0, sent.alone.map(|name| name.to_string()))),
            retry_alone: self.retry_alone,
            losses: self.losses.iter().map(|(name, losses)| (name.to_string(), *losses)).collect(),
            details: self.due.details,
            labels: self.due.labels,
            statistics: self.due.statistics,
            schema: self.due.schema,
            started_at: self.started_at.0,
            generation: self.generation,
        };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads what [`Round::to_text`] has written. `None` for text that cannot be read; the host is asked anew then.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text).ok()?;
        let names = |all: &[String]| all.iter().filter_map(|name| Name::parse(name)).collect();
        Some(Self {
            open: names(&stored.open),
            sent: stored
                .sent
                .map(|(at, alone)| SentQuestions { at: Moment(at), alone: alone.as_deref().and_then(Name::parse) }),
            retry_alone: stored.retry_alone,
            losses: stored.losses.iter().filter_map(|(name, losses)| Some((Name::parse(name)?, *losses))).collect(),
            due: Due {
                details: stored.details,
                labels: stored.labels,
                statistics: stored.statistics,
                schema: stored.schema,
            },
            started_at: Moment(stored.started_at),
            generation: stored.generation,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    open: Vec<String>,
    sent: Option<(i64, Option<String>)>,
    /// Stored under an older name, because nodes of the version before read and write the same rows.
    #[serde(rename = "is_careful")]
    retry_alone: bool,
    losses: Vec<(String, u8)>,
    details: bool,
    labels: bool,
    /// Nodes of the version before neither write nor read it, and end such a round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    statistics: bool,
    /// As for statistics.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    schema: bool,
    started_at: i64,
    generation: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Finished =
        Finished { due: Due { details: true, labels: true, statistics: false, schema: false }, started_at: Moment(7) };

    fn seconds(n: i64) -> Moment {
        Moment(n * 1_000_000)
    }

    fn round(labels: std::ops::RangeInclusive<i64>) -> Round {
        Round::new(labels.map(Name::Label).collect(), ALL.due, ALL.started_at, 3)
    }

    /// Takes a step as another node would: with what stands in the database.
    fn step(round: &mut Round, now: Moment) -> RoundStep {
        let read = Round::of_text(&round.to_text()).unwrap();
        assert_eq!(read, *round);
        *round = read;
        round.next(now)
    }

    #[test]
    fn answered_questions_end_the_round() {
        let mut round = round(1..=3);
        assert_eq!(step(&mut round, seconds(0)).step, NextStep::Send((1..=3).map(Name::Label).collect()));
        assert_eq!(step(&mut round, seconds(10)).step, NextStep::Wait);
        (1..=3).for_each(|id| assert!(round.answered(Name::Label(id))));
        assert_eq!(round.is_done(), Some(ALL));
        assert_eq!(step(&mut round, seconds(11)).step, NextStep::Done(ALL));
    }

    #[test]
    fn a_question_that_stops_the_worker_is_parked_and_the_others_are_answered() {
        let mut round = round(1..=3);
        let mut now = 0;
        let mut parked = Vec::new();
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 12, "the round does not end");
            let step = step(&mut round, seconds(now));
            parked.extend(step.parked.into_iter().map(|(name, _)| name));
            match step.step {
                NextStep::Done(_) => break,
                NextStep::Wait => panic!("the host has read again after the retry window"),
                // Question 2 stops the worker: nothing of that read is ever answered.
                NextStep::Send(names) if names.contains(&Name::Label(2)) => {}
                NextStep::Send(names) => names.into_iter().for_each(|name| assert!(round.answered(name))),
            }
            now += 25;
        }
        assert_eq!(parked, [Name::Label(2)]);
    }

    #[test]
    fn what_is_asked_apart_is_given_up_for_now_and_never_parked() {
        let (statistics, schema) = (super::super::details::STATISTICS, super::super::details::SCHEMA);
        for (question, due) in
            [(statistics, Due { statistics: true, ..Due::default() }), (schema, Due { schema: true, ..Due::default() })]
        {
            let mut round = Round::new(vec![Name::Detail(question.name)], due, Moment(7), 3);
            for now in [0, 25] {
                assert!(matches!(step(&mut round, seconds(now)).step, NextStep::Send(_)));
            }
            let last = step(&mut round, seconds(50));
            assert_eq!(last.step, NextStep::Done(Finished { due, started_at: Moment(7) }));
            assert!(last.parked.is_empty());
        }
    }

    #[test]
    fn a_host_that_was_away_once_loses_nothing() {
        let mut round = round(1..=2);
        step(&mut round, seconds(0));
        let mut asked = Vec::new();
        for day in 1..=3 {
            match step(&mut round, seconds(day * 86_400)).step {
                NextStep::Send(names) => {
                    names.iter().for_each(|name| assert!(round.answered(*name)));
                    asked.extend(names);
                }
                other => assert_eq!(other, NextStep::Done(ALL)),
            }
        }
        assert_eq!(asked, [Name::Label(1), Name::Label(2)]);
    }
}
