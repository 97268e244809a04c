use std::collections::HashSet;
use std::future::pending;
use std::time::Duration;

use anyhow::{anyhow, bail};
use muster_api::rest::{LiveAnswer, LiveQuery, LiveStatus};
use tokio::sync::watch::{self, Receiver};
use tokio::time::sleep;

use super::answers::{self, AnswerEvent, AnswerReader, AnswerStream};
use super::interrupts::Interrupts;
use super::progress::{Screen, progress};
use super::summary::{ended, summary};
use super::tally::{AnswerTally, carve_note, is_shown, warning};
use super::writers::{AnswerWriter, SpoolFull};
use crate::output::StdoutClosed;
use crate::rest::RestClient;

/// How often the counts are polled.
const POLL: Duration = Duration::from_secs(1);
/// How long to retry while the server does not respond.
const PATIENCE: Duration = Duration::from_secs(300);
/// The same after a timeout or an interrupt.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Prints the answers of a live query until it ends or fleetctl exits early.
pub struct LiveQueryWatch {
    pub server: RestClient,
    pub job: LiveQuery,
    pub cursor: u64,
    /// Exit when all online hosts have answered or failed.
    pub exit: bool,
    pub timeout: Option<Duration>,
    /// Whether to cancel the live query when fleetctl exits early.
    pub cancels: bool,
    pub writer: Box<dyn AnswerWriter>,
    pub screen: Screen,
}

enum EndReason {
    Ended,
    OnlineHostsDone,
    Timeout,
    Interrupted,
}

/// State of a running watch.
struct WatchRun {
    watch: LiveQueryWatch,
    /// Whether answers are read from the first one.
    is_whole: bool,
    seen: HashSet<i64>,
    tally: AnswerTally,
}

impl LiveQueryWatch {
    pub async fn run(self, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        let is_whole = self.cursor == 0;
        let mut running = WatchRun { watch: self, is_whole, seen: HashSet::new(), tally: AnswerTally::default() };
        match running.follow(interrupts).await {
            Ok(reason) => running.end(&reason, interrupts).await,
            Err(error) => running.give_up(error).await,
        }
    }
}

impl WatchRun {
    /// Prints answers until there is a reason to stop.
    async fn follow(&mut self, interrupts: &mut Interrupts) -> anyhow::Result<EndReason> {
        let mut answers = AnswerStream::read(self.reading(true, PATIENCE));
        let mut polled = poll(self.watch.server.clone(), self.watch.job.id);
        let limit = self.watch.timeout;
        let timeout = async { if let Some(limit) = limit { sleep(limit).await } else { pending().await } };
        tokio::pin!(timeout);
        loop {
            self.watch.screen.status(progress(&self.watch.job));
            if self.watch.job.status != LiveStatus::Open {
                return Ok(EndReason::Ended);
            }
            if self.watch.exit && self.watch.job.online_waiting == 0 {
                return Ok(EndReason::OnlineHostsDone);
            }
            tokio::select! {
                () = interrupts.requested() => return Ok(EndReason::Interrupted),
                () = &mut timeout => return Ok(EndReason::Timeout),
                Ok(()) = polled.changed() => {
                    if let Some(job) = polled.borrow_and_update().clone() {
                        self.watch.job = job;
                    }
                }
                event = answers.next() => {
                    if self.take(event)? {
                        return Ok(EndReason::Ended);
                    }
                }
            }
        }
    }

    /// Handles an event; returns whether it was the last one.
    fn take(&mut self, event: AnswerEvent) -> anyhow::Result<bool> {
        match event {
            AnswerEvent::Answer(answer) => self.show(answer)?,
            AnswerEvent::Retry(error, delay) => {
                let text = format!("Error talking to server: {error}; retrying in {:.1} s", delay.as_secs_f64());
                self.watch.screen.print(&text);
            }
            AnswerEvent::End => return Ok(true),
            AnswerEvent::Failed(error) => return Err(error.into()),
        }
        Ok(false)
    }

    fn show(&mut self, answer: LiveAnswer) -> anyhow::Result<()> {
        let cursor = answer.cursor;
        // After a reconnect the server may repeat answers.
        if self.seen.insert(answer.host_id) {
            self.tally.count(&answer);
            let LiveQueryWatch { writer, screen, .. } = &mut self.watch;
            if let Some(warning) = warning(&answer) {
                screen.print_always(&warning);
            }
            if let Some(note) = carve_note(&answer) {
                screen.print_always(&note);
            }
            if is_shown(&answer) {
                writer.answer(answer, &mut |text| screen.data(text))?;
            }
        }
        self.watch.cursor = cursor;
        Ok(())
    }

    /// Prints the remaining answers and the summary.
    async fn end(mut self, reason: &EndReason, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        let id = self.watch.job.id;
        let early = (!matches!(reason, EndReason::Ended)).then(|| progress(&self.watch.job));
        let mut failure = None;
        if early.is_some() && self.watch.cancels {
            if matches!(reason, EndReason::Interrupted) {
                self.watch
                    .screen
                    .print_always(&format!("Cancelling live query {id}; press Ctrl-C again to exit immediately"));
            }
            failure = self.cancel().await.err();
        }
        let patience = if early.is_some() { LAST_PATIENCE } else { PATIENCE };
        // After a first Ctrl-C the remaining answers are still printed; a second one ends the process (see `Interrupts`).
        let is_asked = matches!(reason, EndReason::Interrupted);
        if let Err(error) = self.catch_up(patience, (!is_asked).then_some(interrupts)).await {
            return self.give_up(error).await;
        }
        self.finish()?;
        self.watch.job = answers::persist(patience, async || answers::job(&self.watch.server, id).await).await?;
        let last = early.unwrap_or_else(|| progress(&self.watch.job));
        self.watch.screen.end(last);
        if matches!(reason, EndReason::Timeout) {
            self.watch.screen.print("Stopped by timeout");
        }
        self.sum_up();
        failure.map_or_else(|| self.verdict(reason), Err)
    }

    /// Reads the answers that the server has without waiting for more.
    async fn catch_up(&mut self, patience: Duration, interrupts: Option<&mut Interrupts>) -> anyhow::Result<()> {
        let mut answers = AnswerStream::read(self.reading(false, patience));
        let interrupted = async {
            match interrupts {
                Some(interrupts) => interrupts.requested().await,
                None => pending().await,
            }
        };
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                () = &mut interrupted => bail!("interrupted"),
                event = answers.next() => {
                    if self.take(event)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn sum_up(&self) {
        let LiveQueryWatch { job, screen, cursor, .. } = &self.watch;
        screen.print(summary(job, &self.tally).trim_end());
        if job.status == LiveStatus::Open {
            screen.print(&format!("Resume with: fleetctl query attach {} --cursor {cursor}", job.id));
        } else if self.is_whole && job.counts.answered > self.tally.answered {
            screen.print_always(&format!(
                "Warning: {} hosts answered, but only {} answers could be read",
                job.counts.answered, self.tally.answered
            ));
        }
    }

    /// An error if the query was interrupted, cancelled or stopped, or if no host answered and some could not.
    fn verdict(&self, reason: &EndReason) -> anyhow::Result<()> {
        let job = &self.watch.job;
        let id = job.id;
        match (reason, job.status) {
            (EndReason::Interrupted, _) => Err(anyhow!("interrupted; live query {id} {}", ended(job))),
            (EndReason::Ended, LiveStatus::Cancelled | LiveStatus::Stopped) => {
                Err(anyhow!("live query {id} {}", ended(job)))
            }
            _ => {
                let counts = &job.counts;
                let failed = counts.failed + counts.denylisted + counts.suspect + counts.lost;
                match counts.answered {
                    0 if failed > 0 => Err(anyhow!("no host answered, and {failed} could not run live query {id}")),
                    _ => Ok(()),
                }
            }
        }
    }

    async fn cancel(&self) -> anyhow::Result<()> {
        let id = self.watch.job.id;
        let done = answers::persist(LAST_PATIENCE, async || answers::cancel(&self.watch.server, id).await).await;
        done.map(|_| ()).map_err(|error| {
            anyhow!("cannot cancel live query {id}: {error}; cancel it with: fleetctl query cancel {id}")
        })
    }

    /// Ends after a failure: prints what was received and how to resume.
    async fn give_up(mut self, error: anyhow::Error) -> anyhow::Result<()> {
        let LiveQueryWatch { job, cursor, cancels, .. } = &self.watch;
        let (id, cursor) = (job.id, *cursor);
        if error.is::<StdoutClosed>() {
            if *cancels && job.status == LiveStatus::Open {
                self.cancel().await?;
            }
            return Err(error);
        }
        let last = progress(job);
        self.finish()?;
        self.watch.screen.end(last);
        let again = match error.is::<SpoolFull>() {
            true => format!("output is incomplete; print all results with: fleetctl query attach {id} --output ndjson"),
            false => format!("resume with: fleetctl query attach {id} --cursor {cursor}"),
        };
        Err(anyhow!("{error:#}; {again}"))
    }

    /// Prints the rows that the writer holds.
    fn finish(&mut self) -> anyhow::Result<()> {
        let LiveQueryWatch { writer, screen, .. } = &mut self.watch;
        writer.finish(&mut |text| screen.data(text))
    }

    fn reading(&self, is_following: bool, patience: Duration) -> AnswerReader {
        let LiveQueryWatch { server, job, cursor, .. } = &self.watch;
        AnswerReader { server: server.clone(), id: job.id, cursor: *cursor, is_following, patience }
    }
}

/// Polls the counts. Errors are ignored: the reader of answers reports them.
fn poll(server: RestClient, id: i64) -> Receiver<Option<LiveQuery>> {
    let (sender, polled) = watch::channel(None);
    tokio::spawn(async move {
        while !sender.is_closed() {
            sleep(POLL).await;
            if let Ok(job) = answers::job(&server, id).await {
                sender.send_replace(Some(job));
            }
        }
    });
    polled
}
