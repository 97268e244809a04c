//! Reads a live query's answers from the server, over as many connections as it takes.

use std::time::{Duration, Instant};

use muster_api::rest::{LiveAnswer, LiveQuery, LiveQueryEnvelope, LiveStatus};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::rest::{LineStream, RestClient, RestError};

const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// A connection that stood so long was a good one, whether or not there was something to say.
const GOOD_CONNECTION: Duration = Duration::from_secs(30);

pub enum AnswerEvent {
    Answer(LiveAnswer),
    /// The connection was lost, and is made again after a while.
    Trouble(RestError, Duration),
    /// There is nothing more to read.
    End,
    Failed(RestError),
}

/// What to read, and for how long to try.
pub struct AnswerReader {
    pub server: RestClient,
    pub id: i64,
    pub cursor: u64,
    /// Whether to wait for answers that are still to come, until the live query is over.
    pub is_following: bool,
    /// How long to go on without a sign of the server.
    pub patience: Duration,
}

/// Answers on their way. Reading ends when this is dropped.
pub struct AnswerStream {
    events: Receiver<AnswerEvent>,
    task: JoinHandle<()>,
}

impl AnswerStream {
    pub fn read(reading: AnswerReader) -> Self {
        // One answer is on its way here while another is dealt with; more are left to the server.
        let (sender, events) = mpsc::channel(1);
        let task = tokio::spawn(reading.run(sender));
        Self { events, task }
    }

    /// What comes next. May be abandoned and called again.
    pub async fn next(&mut self) -> AnswerEvent {
        self.events.recv().await.unwrap_or(AnswerEvent::End)
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AnswerReader {
    async fn run(mut self, sender: Sender<AnswerEvent>) {
        let mut retries = RetryState::new(self.patience);
        let mut open: Option<(LineStream, Instant)> = None;
        // Room is made before an answer is read, so that no two answers wait.
        while let Ok(room) = sender.reserve().await {
            let error = match self.step(&mut open).await {
                Ok(Some(answer)) => {
                    retries = RetryState::new(self.patience);
                    room.send(AnswerEvent::Answer(answer));
                    continue;
                }
                Ok(None) => return room.send(AnswerEvent::End),
                Err(error) => error,
            };
            if open.take().is_some_and(|(_, since)| since.elapsed() >= GOOD_CONNECTION) {
                retries = RetryState::new(self.patience);
            }
            match retries.next(&error) {
                Some(delay) => {
                    room.send(AnswerEvent::Trouble(error, delay));
                    sleep(delay).await;
                }
                None => return room.send(AnswerEvent::Failed(error)),
            }
        }
    }

    /// Reads one answer. Nothing means that there are no more.
    async fn step(&mut self, open: &mut Option<(LineStream, Instant)>) -> Result<Option<LiveAnswer>, RestError> {
        let lines = match open {
            Some((lines, _)) => lines,
            None => {
                let (id, cursor, follow) = (self.id, self.cursor, self.is_following);
                let path = format!("live_queries/{id}/results?cursor={cursor}&follow={follow}");
                let lines = self.server.lines(&path).await?;
                &mut open.insert((lines, Instant::now())).0
            }
        };
        if let Some(line) = lines.next().await? {
            let answer: LiveAnswer =
                serde_json::from_slice(&line.bytes).map_err(|cause| lines.misunderstood(&line, cause))?;
            self.cursor = answer.cursor;
            return Ok(Some(answer));
        }
        // Something between here and the server may have ended the answer.
        if self.is_following && job(&self.server, self.id).await?.status == LiveStatus::Open {
            return Err(lines.ended_early());
        }
        Ok(None)
    }
}

/// How long it has been failing, and how long to wait before the next attempt.
struct RetryState {
    patience: Duration,
    since: Option<Instant>,
    attempts: u32,
}

impl RetryState {
    fn new(patience: Duration) -> Self {
        Self { patience, since: None, attempts: 0 }
    }

    /// The wait before the next attempt; nothing when there is no point in another one.
    fn next(&mut self, error: &RestError) -> Option<Duration> {
        let asked_for = match error {
            RestError::Unreachable { .. } => Duration::ZERO,
            RestError::Refused { status, .. } | RestError::NotFleet { status, .. } if status.is_server_error() => {
                Duration::ZERO
            }
            RestError::Busy { retry_after } => Duration::from_secs(retry_after.parse().unwrap_or(60)),
            _ => return None,
        };
        let failing_for = self.since.get_or_insert_with(Instant::now).elapsed();
        let delay = (FIRST_DELAY * 2_u32.saturating_pow(self.attempts)).min(LONGEST_DELAY).max(asked_for);
        self.attempts = (self.attempts + 1).min(16);
        (failing_for + delay <= self.patience).then_some(delay)
    }
}

/// Asks as often as it takes for something that may be asked more than once.
pub async fn persist<T>(patience: Duration, ask: impl AsyncFn() -> Result<T, RestError>) -> Result<T, RestError> {
    let mut retries = RetryState::new(patience);
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match retries.next(&error) {
            Some(delay) => sleep(delay).await,
            None => return Err(error),
        }
    }
}

pub async fn job(server: &RestClient, id: i64) -> Result<LiveQuery, RestError> {
    Ok(server.get::<LiveQueryEnvelope>(&format!("live_queries/{id}")).await?.live_query)
}

pub async fn cancel(server: &RestClient, id: i64) -> Result<LiveQuery, RestError> {
    let nothing = serde_json::json!({});
    Ok(server.post::<_, LiveQueryEnvelope>(&format!("live_queries/{id}/cancel"), &nothing).await?.live_query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> RestError {
        RestError::Unreachable { address: String::new(), cause: String::new(), remedy: "" }
    }

    #[test]
    fn waits_grow_to_a_bound_and_end() {
        let mut retries = RetryState::new(Duration::from_secs(60));
        let waits: Vec<_> = (0..8).map(|_| retries.next(&unreachable()).unwrap().as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        for _ in 0..100 {
            retries.next(&unreachable());
        }
        retries.patience = Duration::from_secs(1);
        assert_eq!(retries.next(&unreachable()), None);
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let mut retries = RetryState::new(Duration::from_secs(60));
        assert_eq!(retries.next(&RestError::Unauthenticated), None);
        assert_eq!(retries.next(&RestError::NotFound(String::new())), None);
        let busy = |seconds: &str| RestError::Busy { retry_after: seconds.to_owned() };
        assert_eq!(retries.next(&busy("5")), Some(Duration::from_secs(5)));
        assert_eq!(retries.next(&busy("3600")), None);
    }
}
