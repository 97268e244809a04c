//! One round of questions to a host. Everything that was sent is owed an answer: a query that stops the agent's worker
//! is never reported, and agents below 5.5 do not remember it either. So what stays unanswered is asked one by one, and
//! what stays unanswered alone is parked.

use std::collections::{BTreeMap, BTreeSet};

use super::Name;
use super::due::Due;
use crate::clock::Moment;
use crate::fleet::checkin::ENVELOPE;

/// A question lost so often when it was asked alone is parked: once can be a laptop that was closed.
const LOSSES: u8 = 2;

/// Questions to a host that are not all answered.
#[derive(Debug)]
pub(super) struct Round {
    open: BTreeSet<Name>,
    sent: Option<Sent>,
    /// After a loss, questions go one by one.
    is_careful: bool,
    losses: BTreeMap<Name, u8>,
    due: Due,
    /// Labels made after this are not in it.
    started_at: Moment,
}

#[derive(Debug)]
struct Sent {
    at: Moment,
    names: Vec<Name>,
}

/// What to do when the host asks for work.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Send(Vec<Name>),
    /// Answers are still owed.
    Wait,
    /// All is answered or parked.
    Done(Finished),
}

/// A round that is over: what it was for, and when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finished {
    pub due: Due,
    pub started_at: Moment,
}

/// The next step, and what it found to be parked, with the reason.
#[derive(Debug)]
pub(super) struct Step {
    pub step: Next,
    pub parked: Vec<(Name, String)>,
}

impl Round {
    pub(super) fn new(names: Vec<Name>, due: Due, started_at: Moment) -> Self {
        Self {
            open: names.into_iter().collect(),
            sent: None,
            is_careful: false,
            losses: BTreeMap::new(),
            due,
            started_at,
        }
    }

    pub(super) fn next(&mut self, now: Moment) -> Step {
        let mut parked = Vec::new();
        if let Some(sent) = &self.sent {
            let lost: Vec<Name> = sent.names.iter().filter(|name| self.open.contains(*name)).copied().collect();
            if !lost.is_empty() && now < sent.at.plus(ENVELOPE) {
                return Step { step: Next::Wait, parked };
            }
            let was_alone = sent.names.len() == 1;
            self.sent = None;
            self.is_careful |= !lost.is_empty();
            for name in lost.into_iter().filter(|_| was_alone) {
                let losses = self.losses.entry(name).or_default();
                *losses += 1;
                if *losses >= LOSSES {
                    self.open.remove(&name);
                    parked.push((
                        name,
                        format!(
                            "was asked alone {LOSSES} times and never answered: it probably stops the agent's worker"
                        ),
                    ));
                }
            }
        }
        let names: Vec<Name> = match self.is_careful {
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
            return Step { step: Next::Done(self.finished()), parked };
        }
        self.sent = Some(Sent { at: now, names: names.clone() });
        Step { step: Next::Send(names), parked }
    }

    /// A question was answered, however.
    /// Says whether the answer was owed.
    pub(super) fn answered(&mut self, name: Name) -> bool {
        self.losses.remove(&name);
        self.open.remove(&name)
    }

    /// Whether nothing is open any more; then it was for this.
    pub(super) fn is_done(&self) -> Option<Finished> {
        self.open.is_empty().then(|| self.finished())
    }

    fn finished(&self) -> Finished {
        Finished { due: self.due, started_at: self.started_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Finished = Finished { due: Due { details: true, labels: true }, started_at: Moment(7) };

    fn seconds(n: i64) -> Moment {
        Moment(n * 1_000_000)
    }

    fn round(labels: std::ops::RangeInclusive<i64>) -> Round {
        Round::new(labels.map(Name::Label).collect(), ALL.due, ALL.started_at)
    }

    #[test]
    fn answered_questions_end_the_round() {
        let mut round = round(1..=3);
        assert_eq!(round.next(seconds(0)).step, Next::Send((1..=3).map(Name::Label).collect()));
        assert_eq!(round.next(seconds(10)).step, Next::Wait);
        (1..=3).for_each(|id| assert!(round.answered(Name::Label(id))));
        assert_eq!(round.is_done(), Some(ALL));
        assert_eq!(round.next(seconds(11)).step, Next::Done(ALL));
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
            let step = round.next(seconds(now));
            parked.extend(step.parked.into_iter().map(|(name, _)| name));
            match step.step {
                Next::Done(_) => break,
                Next::Wait => panic!("the host has read again after the envelope"),
                // Question 2 stops the worker: nothing of that read is ever answered.
                Next::Send(names) if names.contains(&Name::Label(2)) => {}
                Next::Send(names) => names.into_iter().for_each(|name| assert!(round.answered(name))),
            }
            now += 25;
        }
        assert_eq!(parked, [Name::Label(2)]);
    }

    #[test]
    fn a_host_that_was_away_once_loses_nothing() {
        let mut round = round(1..=2);
        round.next(seconds(0));
        let mut asked = Vec::new();
        for day in 1..=3 {
            match round.next(seconds(day * 86_400)).step {
                Next::Send(names) => {
                    names.iter().for_each(|name| assert!(round.answered(*name)));
                    asked.extend(names);
                }
                other => assert_eq!(other, Next::Done(ALL)),
            }
        }
        assert_eq!(asked, [Name::Label(1), Name::Label(2)]);
    }
}
