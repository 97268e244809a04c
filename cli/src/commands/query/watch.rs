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
use super::tally::{AnswerTally, complaint, is_shown};
use super::writers::{AnswerWriter, SpoolFull};
use crate::output::StdoutClosed;
use crate::rest::RestClient;

/// How often the numbers are asked for.
const POLL: Duration = Duration::from_secs(1);
/// How long a server may be away before it is given up.
const PATIENCE: Duration = Duration::from_secs(300);
/// The same, when somebody wants to leave.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Shows a live query's answers until it is over, or there is a reason to leave.
pub struct LiveQueryWatch {
    pub server: RestClient,
    pub job: LiveQuery,
    pub cursor: u64,
    /// Leave when all online hosts are accounted for.
    pub exit: bool,
    pub timeout: Option<Duration>,
    /// Whether the live query ends when this program leaves early.
    pub cancels: bool,
    pub writer: Box<dyn AnswerWriter>,
    pub screen: Screen,
}

enum EndReason {
    Over,
    OnlineHostsAreDone,
    Timeout,
    Interrupted,
}

/// A watch under way.
struct WatchRun {
    watch: LiveQueryWatch,
    /// Whether answers are read from the first one on.
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
    /// Shows answers until there is a reason not to wait for more.
    async fn follow(&mut self, interrupts: &mut Interrupts) -> anyhow::Result<EndReason> {
        let mut answers = AnswerStream::read(self.reading(true, PATIENCE));
        let mut polled = poll(self.watch.server.clone(), self.watch.job.id);
        let limit = self.watch.timeout;
        let timeout = async { if let Some(limit) = limit { sleep(limit).await } else { pending().await } };
        tokio::pin!(timeout);
        loop {
            self.watch.screen.status(progress(&self.watch.job));
            if self.watch.job.status != LiveStatus::Open {
                return Ok(EndReason::Over);
            }
            if self.watch.exit && self.watch.job.online_waiting == 0 {
                return Ok(EndReason::OnlineHostsAreDone);
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
                        return Ok(EndReason::Over);
                    }
                }
            }
        }
    }

    /// Deals with what came from the server; returns whether it was the end.
    fn take(&mut self, event: AnswerEvent) -> anyhow::Result<bool> {
        match event {
            AnswerEvent::Answer(answer) => self.show(answer)?,
            AnswerEvent::Trouble(error, delay) => {
                let text = format!("Error talking to server: {error}; trying again in {:.1} s", delay.as_secs_f64());
                self.watch.screen.print(&text);
            }
            AnswerEvent::End => return Ok(true),
            AnswerEvent::Failed(error) => return Err(error.into()),
        }
        Ok(false)
    }

    fn show(&mut self, answer: LiveAnswer) -> anyhow::Result<()> {
        let cursor = answer.cursor;
        // What was shown before a connection was lost may come again.
        if self.seen.insert(answer.host_id) {
            self.tally.count(&answer);
            let LiveQueryWatch { writer, screen, .. } = &mut self.watch;
            if let Some(complaint) = complaint(&answer) {
                screen.complain(&complaint);
            }
            if is_shown(&answer) {
                writer.answer(answer, &mut |text| screen.data(text))?;
            }
        }
        self.watch.cursor = cursor;
        Ok(())
    }

    /// Shows what is there still, and tells how it ended.
    async fn end(mut self, reason: &EndReason, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        let id = self.watch.job.id;
        let early = (!matches!(reason, EndReason::Over)).then(|| progress(&self.watch.job));
        let mut failure = None;
        if early.is_some() && self.watch.cancels {
            if matches!(reason, EndReason::Interrupted) {
                self.watch.screen.complain(&format!("Cancelling live query {id}; press Ctrl-C again to leave at once"));
            }
            failure = self.cancel().await.err();
        }
        let patience = if early.is_some() { LAST_PATIENCE } else { PATIENCE };
        // Who pressed Ctrl-C to get here sees what is there; once more ends the program.
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

    /// Reads what the server has, and does not wait for more.
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
            screen.print(&format!("Attach to it with: fleetctl query attach {} --cursor {cursor}", job.id));
        } else if self.is_whole && job.counts.answered > self.tally.answered {
            screen.complain(&format!(
                "Warning: {} hosts answered, but only {} answers could be read",
                job.counts.answered, self.tally.answered
            ));
        }
    }

    /// Whether this counts as a success: an answer that somebody prevented does not.
    fn verdict(&self, reason: &EndReason) -> anyhow::Result<()> {
        let job = &self.watch.job;
        let id = job.id;
        match (reason, job.status) {
            (EndReason::Interrupted, _) => Err(anyhow!("interrupted; live query {id} {}", ended(job))),
            (EndReason::Over, LiveStatus::Cancelled | LiveStatus::Stopped) => {
                Err(anyhow!("live query {id} {}", ended(job)))
            }
            _ => Ok(()),
        }
    }

    async fn cancel(&self) -> anyhow::Result<()> {
        let id = self.watch.job.id;
        let done = answers::persist(LAST_PATIENCE, async || answers::cancel(&self.watch.server, id).await).await;
        done.map(|_| ()).map_err(|error| {
            anyhow!("live query {id} could not be cancelled: {error}; cancel it with: fleetctl query cancel {id}")
        })
    }

    /// Ends after a failure with what is there, and says how to go on.
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
            true => format!("what fits was printed; print all of it with: fleetctl query attach {id} --output ndjson"),
            false => format!("read on with: fleetctl query attach {id} --cursor {cursor}"),
        };
        Err(anyhow!("{error:#}; {again}"))
    }

    /// Prints what the writer has kept.
    fn finish(&mut self) -> anyhow::Result<()> {
        let LiveQueryWatch { writer, screen, .. } = &mut self.watch;
        writer.finish(&mut |text| screen.data(text))
    }

    fn reading(&self, is_following: bool, patience: Duration) -> AnswerReader {
        let LiveQueryWatch { server, job, cursor, .. } = &self.watch;
        AnswerReader { server: server.clone(), id: job.id, cursor: *cursor, is_following, patience }
    }
}

/// Asks for the numbers from time to time. A missed answer is no harm: reading tells when the server is away.
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
