use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use tokio::sync::oneshot;

use crate::bus::{BusError, JobKey};
use crate::lock::lock;

/// Most steps of one script: Redis runs nothing else meanwhile.
const STEPS_AT_ONCE: usize = 128;

/// About how many bytes one script takes.
const BYTES_AT_ONCE: usize = 1 << 20;

/// Steps of one kind that travel together. Those of a job that come while a script of it is under way wait for that, and
/// then go with the next one. So a step that comes alone waits for nobody, and a thousand that come at one time cost a few
/// scripts. A script belongs to none of its steps: it goes on for the others when one is given up.
#[derive(Debug)]
pub(super) struct Together<S, T>(Mutex<HashMap<JobKey, VecDeque<WaitingStep<S, T>>>>);

/// A step, and where its outcome goes.
#[derive(Debug)]
pub(super) struct WaitingStep<S, T> {
    pub step: S,
    bytes: usize,
    done: oneshot::Sender<Result<T, BusError>>,
}

/// The scripts of a job that are under way, one after the other. Dropped before there are no more steps, it gives up those
/// that wait.
pub(super) struct Run<'a, S, T> {
    together: &'a Together<S, T>,
    job: JobKey,
    is_over: bool,
}

impl<S, T> Default for Together<S, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S, T> Together<S, T> {
    /// Adds a step of so many bytes. True if the caller has to begin a run, because there is none.
    pub fn add(&self, job: JobKey, step: S, bytes: usize) -> (oneshot::Receiver<Result<T, BusError>>, bool) {
        let (done, outcome) = oneshot::channel();
        let mut jobs = lock(&self.0);
        let is_first = !jobs.contains_key(&job);
        jobs.entry(job).or_default().push_back(WaitingStep { step, bytes, done });
        (outcome, is_first)
    }

    pub fn run(&self, job: JobKey) -> Run<'_, S, T> {
        Run { together: self, job, is_over: false }
    }
}

impl<S, T> Run<'_, S, T> {
    /// The steps of the next script, without those that were given up. None when no step waits: then the run is over.
    pub fn next(&mut self) -> Option<Vec<WaitingStep<S, T>>> {
        let mut jobs = lock(&self.together.0);
        let waiting = jobs.get_mut(&self.job)?;
        let (mut steps, mut bytes) = (Vec::new(), 0);
        while let Some(first) = waiting.front() {
            let is_full = steps.len() == STEPS_AT_ONCE || bytes + first.bytes > BYTES_AT_ONCE;
            if is_full && !steps.is_empty() {
                break;
            }
            bytes += first.bytes;
            steps.extend(waiting.pop_front().filter(|step| !step.done.is_closed()));
        }
        if steps.is_empty() {
            jobs.remove(&self.job);
            self.is_over = true;
            return None;
        }
        Some(steps)
    }
}

impl<S, T> Drop for Run<'_, S, T> {
    fn drop(&mut self) {
        // why: what is there after the end of this run belongs to the next one.
        if !self.is_over {
            lock(&self.together.0).remove(&self.job);
        }
    }
}

/// Gives each step its outcome.
pub(super) fn reply<S, T>(steps: Vec<WaitingStep<S, T>>, outcomes: Result<Vec<T>, BusError>) {
    match outcomes {
        Ok(outcomes) => steps.into_iter().zip(outcomes).for_each(|(step, outcome)| {
            // It may have been given up.
            let _ = step.done.send(Ok(outcome));
        }),
        Err(error) => steps.into_iter().for_each(|step| {
            let _ = step.done.send(Err(error.clone()));
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobKey = JobKey { id: 1, made: None };

    fn taken(run: &mut Run<'_, i32, ()>) -> Option<Vec<i32>> {
        run.next().map(|steps| steps.into_iter().map(|step| step.step).collect())
    }

    #[test]
    fn steps_that_come_while_a_script_is_under_way_go_with_the_next_one() {
        let together = Together::default();
        let mut outcomes = Vec::new();
        let mut add = |step: i32, bytes| {
            let (outcome, must_run) = together.add(JOB, step, bytes);
            outcomes.push(outcome);
            must_run
        };
        assert!(add(0, 10), "the first one begins a run");
        let mut run = together.run(JOB);
        assert_eq!(taken(&mut run), Some(vec![0]));
        for step in 1..=200 {
            assert!(!add(step, 10));
        }
        assert_eq!(taken(&mut run).unwrap().len(), STEPS_AT_ONCE);
        add(201, BYTES_AT_ONCE * 2);
        add(202, 1);
        assert_eq!(taken(&mut run), Some((129..=200).collect()), "a large one goes alone");
        assert_eq!(taken(&mut run), Some(vec![201]));
        assert_eq!(taken(&mut run), Some(vec![202]));
        assert_eq!(taken(&mut run), None);
        assert!(add(203, 1), "and the run was over");
        drop(run);
        assert_eq!(taken(&mut together.run(JOB)), Some(vec![203]), "whose end takes nothing from the next one");
    }

    #[test]
    fn a_step_that_was_given_up_is_left_out_and_a_run_that_breaks_off_gives_up_those_that_wait() {
        let together = Together::<i32, ()>::default();
        let (given_up, _) = together.add(JOB, 1, 1);
        let (mut waits, _) = together.add(JOB, 2, 1);
        drop(given_up);
        let mut run = together.run(JOB);
        assert_eq!(taken(&mut run), Some(vec![2]));
        let (mut later, must_run) = together.add(JOB, 3, 1);
        assert!(!must_run);
        drop(run);
        assert!(waits.try_recv().is_err() && later.try_recv().is_err());
        assert!(together.add(JOB, 4, 1).1);
    }
}
