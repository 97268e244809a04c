use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bus::{BusError, JobKey};
use crate::lock::lock;

/// Most steps of one script: Redis runs nothing else meanwhile.
const STEPS_AT_ONCE: usize = 128;

/// About how many bytes one script takes.
const BYTES_AT_ONCE: usize = 1 << 20;

/// Most scripts of a job that are under way at one time. With one, a Redis that takes long for each would let through
/// [`STEPS_AT_ONCE`] for each trip and no more.
const SCRIPTS_AT_ONCE: usize = 8;

/// A step that has waited and has less time left than this is not begun any more: its outcome would come too late, and it
/// can be said now that nothing was done.
const LEAST_LEFT: Duration = Duration::from_millis(1500);

/// A step that has waited no longer than this is begun in any case.
const BARELY_WAITED: Duration = Duration::from_millis(250);

/// Steps of one kind that travel together. Those of a job that come while a script of it is under way wait for that, and
/// then go with the next one; when as many wait as a script takes, another one begins at once. So a step that comes alone
/// waits for nobody, and a thousand that come at one time cost a few scripts. A script belongs to none of its steps: it goes
/// on for the others when one is given up.
#[derive(Debug)]
pub(super) struct Together<S, T>(Mutex<HashMap<JobKey, JobSteps<S, T>>>);

/// The steps of a job that wait, and the scripts of it that are under way.
#[derive(Debug)]
struct JobSteps<S, T> {
    waiting: VecDeque<WaitingStep<S, T>>,
    runs: usize,
}

/// A step, and where its outcome goes.
#[derive(Debug)]
pub(super) struct WaitingStep<S, T> {
    pub step: S,
    bytes: usize,
    since: Instant,
    /// When the outcome is needed.
    pub by: Instant,
    done: oneshot::Sender<Result<T, BusError>>,
}

/// Scripts of a job, one after the other. The last run that is dropped before there are no more steps gives up those that
/// wait.
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
    /// Adds a step of so many bytes, whose outcome is needed by a moment. True if the caller has to begin a run.
    pub fn add(
        &self,
        job: JobKey,
        step: S,
        bytes: usize,
        by: Instant,
    ) -> (oneshot::Receiver<Result<T, BusError>>, bool) {
        let (done, outcome) = oneshot::channel();
        let mut jobs = lock(&self.0);
        let steps = jobs.entry(job).or_insert_with(|| JobSteps { waiting: VecDeque::new(), runs: 0 });
        steps.waiting.push_back(WaitingStep { step, bytes, since: Instant::now(), by, done });
        let is_script_full = steps.waiting.len() >= STEPS_AT_ONCE;
        let must_run = steps.runs == 0 || (is_script_full && steps.runs < SCRIPTS_AT_ONCE);
        steps.runs += usize::from(must_run);
        (outcome, must_run)
    }

    pub fn run(&self, job: JobKey) -> Run<'_, S, T> {
        Run { together: self, job, is_over: false }
    }
}

impl<S, T> Run<'_, S, T> {
    /// The steps of the next script, without those that were given up or have waited too long. None when no step waits: then
    /// the run is over.
    pub fn next(&mut self) -> Option<Vec<WaitingStep<S, T>>> {
        self.next_at(Instant::now())
    }

    fn next_at(&mut self, now: Instant) -> Option<Vec<WaitingStep<S, T>>> {
        let mut jobs = lock(&self.together.0);
        let job = jobs.get_mut(&self.job)?;
        let (mut steps, mut bytes) = (Vec::new(), 0);
        while let Some(first) = job.waiting.front() {
            let is_full = steps.len() == STEPS_AT_ONCE || bytes + first.bytes > BYTES_AT_ONCE;
            if is_full && !steps.is_empty() {
                break;
            }
            let Some(step) = job.waiting.pop_front() else { break };
            if step.has_waited_too_long(now) {
                step.refuse();
            } else if !step.done.is_closed() {
                bytes += step.bytes;
                steps.push(step);
            }
        }
        if steps.is_empty() {
            self.is_over = true;
            leave(&mut jobs, self.job);
            return None;
        }
        Some(steps)
    }
}

impl<S, T> WaitingStep<S, T> {
    fn has_waited_too_long(&self, now: Instant) -> bool {
        now >= self.since + BARELY_WAITED && now + LEAST_LEFT >= self.by
    }

    fn refuse(self) {
        let reason = "the bus takes fewer steps of a live query than come; try again".to_owned();
        // It may have been given up.
        let _ = self.done.send(Err(BusError::Busy(reason)));
    }
}

/// Notes that a run of a job is over. The last one takes the steps with it that nobody runs any more.
fn leave<S, T>(jobs: &mut HashMap<JobKey, JobSteps<S, T>>, job: JobKey) {
    let Some(steps) = jobs.get_mut(&job) else { return };
    steps.runs = steps.runs.saturating_sub(1);
    if steps.runs == 0 {
        jobs.remove(&job);
    }
}

impl<S, T> Drop for Run<'_, S, T> {
    fn drop(&mut self) {
        // why: what is there after the end of this run belongs to the next one.
        if !self.is_over {
            leave(&mut lock(&self.together.0), self.job);
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

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn taken(run: &mut Run<'_, i32, ()>) -> Option<Vec<i32>> {
        taken_at(run, Instant::now())
    }

    fn taken_at(run: &mut Run<'_, i32, ()>, now: Instant) -> Option<Vec<i32>> {
        run.next_at(now).map(|steps| steps.into_iter().map(|step| step.step).collect())
    }

    #[test]
    fn steps_that_come_while_a_script_is_under_way_go_with_the_next_one() {
        let together = Together::default();
        let mut outcomes = Vec::new();
        let mut add = |step: i32, bytes| {
            let (outcome, must_run) = together.add(JOB, step, bytes, later());
            outcomes.push(outcome);
            must_run
        };
        assert!(add(0, 10), "the first one begins a run");
        let mut run = together.run(JOB);
        assert_eq!(taken(&mut run), Some(vec![0]));
        for step in 1..=100 {
            assert!(!add(step, 10));
        }
        add(201, BYTES_AT_ONCE * 2);
        add(202, 1);
        assert_eq!(taken(&mut run), Some((1..=100).collect()), "a large one goes alone");
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
        let (given_up, _) = together.add(JOB, 1, 1, later());
        let (mut waits, _) = together.add(JOB, 2, 1, later());
        drop(given_up);
        let mut run = together.run(JOB);
        assert_eq!(taken(&mut run), Some(vec![2]));
        let (mut third, must_run) = together.add(JOB, 3, 1, later());
        assert!(!must_run);
        drop(run);
        assert!(waits.try_recv().is_err() && third.try_recv().is_err());
        assert!(together.add(JOB, 4, 1, later()).1);
    }

    #[test]
    fn another_script_begins_when_one_is_full() {
        let together = Together::<i32, ()>::default();
        let mut outcomes = Vec::new();
        let mut begun = 0;
        for step in 0..1_500 {
            let (outcome, must_run) = together.add(JOB, step, 1, later());
            outcomes.push(outcome);
            begun += usize::from(must_run);
        }
        assert_eq!(begun, SCRIPTS_AT_ONCE);
        let mut runs: Vec<_> = (0..begun).map(|_| together.run(JOB)).collect();
        let sizes: Vec<usize> = runs.iter_mut().map(|run| taken(run).unwrap().len()).collect();
        assert_eq!(sizes, [STEPS_AT_ONCE; SCRIPTS_AT_ONCE]);
        // The first run that breaks off leaves the steps to the others.
        runs.pop();
        assert_eq!(taken(&mut runs[0]).unwrap().len(), STEPS_AT_ONCE);
        drop(runs);
        assert!(outcomes.last_mut().unwrap().try_recv().is_err(), "nobody runs it any more");
    }

    #[tokio::test]
    async fn a_step_that_waits_until_it_would_be_late_is_refused() {
        let together = Together::<i32, ()>::default();
        let soon = Instant::now() + LEAST_LEFT + BARELY_WAITED;
        let (at_once, _) = together.add(JOB, 1, 1, soon);
        let mut run = together.run(JOB);
        assert_eq!(taken(&mut run), Some(vec![1]), "one that has not waited is begun");
        let (late, _) = together.add(JOB, 2, 1, soon);
        let (in_time, _) = together.add(JOB, 3, 1, later());
        assert_eq!(taken_at(&mut run, soon - LEAST_LEFT + BARELY_WAITED), Some(vec![3]));
        assert!(matches!(late.await, Ok(Err(BusError::Busy(_)))));
        drop((at_once, in_time));
    }
}
