//! Reads the answers of a live query from the server; reconnects when the connection is lost.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use muster_api::rest::{LiveAnswer, LiveQuery, LiveQueryEnvelope, LiveStatus, LiveStreamEnd};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::rest::{LineStream, RestClient, RestError};

const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// A connection that lasted this long resets the retry state, even if no answer came over it.
const GOOD_CONNECTION: Duration = Duration::from_secs(30);

pub enum AnswerEvent {
    Answer(LiveAnswer),
    /// The connection was lost; the next attempt follows after the delay.
    Retry(RestError, Duration),
    /// All answers were read.
    End,
    Failed(RestError),
}

/// Reads answers from `cursor` on, one of each host, until there are no more or the server is away for too long.
pub struct AnswerReader {
    pub server: RestClient,
    pub id: i64,
    pub cursor: u64,
    /// Whether to wait for further answers until the live query ends.
    pub is_following: bool,
    /// How long to retry while the server does not respond.
    pub patience: Duration,
}

/// Answers as they arrive. Dropping it stops the reader.
pub struct AnswerStream {
    events: Receiver<AnswerEvent>,
    task: JoinHandle<()>,
}

impl AnswerStream {
    pub fn read(reading: AnswerReader) -> Self {
        // Buffers one answer while another is processed; backpressure leaves the rest on the server.
        let (sender, events) = mpsc::channel(1);
        let task = tokio::spawn(reading.run(sender));
        Self { events, task }
    }

    /// The next event. Cancel safe.
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
        // why: after Redis has lost answers, the server gives those that are left once more, from the first on.
        let mut seen = HashSet::new();
        // Reserves the slot before reading, so that at most one answer waits.
        while let Ok(slot) = sender.reserve().await {
            let error = match self.step(&mut open).await {
                Ok(Some(answer)) => {
                    retries = RetryState::new(self.patience);
                    if seen.insert(answer.host_id) {
                        slot.send(AnswerEvent::Answer(answer));
                    }
                    continue;
                }
                Ok(None) => return slot.send(AnswerEvent::End),
                Err(error) => error,
            };
            if open.take().is_some_and(|(_, since)| since.elapsed() >= GOOD_CONNECTION) {
                retries = RetryState::new(self.patience);
            }
            match retries.next(&error) {
                Some(delay) => {
                    slot.send(AnswerEvent::Retry(error, delay));
                    sleep(delay).await;
                }
                None => return slot.send(AnswerEvent::Failed(error)),
            }
        }
    }

    /// Reads one answer; `None` if there are no more.
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
                serde_json::from_slice(&line.bytes).map_err(|cause| {
                    match serde_json::from_slice::<LiveStreamEnd>(&line.bytes) {
                        Ok(end) => RestError::Ended(end.error),
                        Err(_) => lines.unreadable_line(&line, cause),
                    }
                })?;
            self.cursor = answer.cursor;
            return Ok(Some(answer));
        }
        // A proxy may have ended the response before the live query was over.
        if self.is_following && job(&self.server, self.id).await?.status == LiveStatus::Open {
            return Err(lines.ended_early());
        }
        Ok(None)
    }
}

/// When the failures began, and how many attempts were made since.
struct RetryState {
    patience: Duration,
    since: Option<Instant>,
    attempts: u32,
}

impl RetryState {
    fn new(patience: Duration) -> Self {
        Self { patience, since: None, attempts: 0 }
    }

    /// The delay before the next attempt; `None` if the error is permanent or `patience` is used up.
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

/// Repeats an idempotent request until it succeeds, fails permanently or `patience` is used up.
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
    fn delays_grow_to_a_limit_and_end() {
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
    fn permanent_errors_are_not_retried() {
        let mut retries = RetryState::new(Duration::from_secs(60));
        assert_eq!(retries.next(&RestError::Unauthenticated), None);
        assert_eq!(retries.next(&RestError::NotFound(String::new())), None);
        let busy = |seconds: &str| RestError::Busy { retry_after: seconds.to_owned() };
        assert_eq!(retries.next(&busy("5")), Some(Duration::from_secs(5)));
        assert_eq!(retries.next(&busy("3600")), None);
    }
}
