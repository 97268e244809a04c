//! What replicas share while a live query goes on: who has been asked, who has answered, and the answers in order.

mod counted;
mod memory;

use std::future::Future;
use std::pin::Pin;

use tokio::sync::watch;

pub use counted::Counted;
pub use memory::MemoryBus;

/// Why something could not be shared.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BusError(pub String);

pub type BusFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BusError>> + Send + 'a>>;

/// Whole lines of a stream, and where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    pub lines: Vec<Line>,
    pub next: u64,
}

/// A line without its newline, and the cursor behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub cursor: u64,
    pub text: Vec<u8>,
}

/// Promises of every implementation; `contract_tests` holds them to it.
///
/// - `claim` gives a host's turn to one caller only, until `unclaim` or an answer.
/// - `answer` takes the first answer of a host and no other, and appends it whole.
/// - `read` gives lines in the order they were appended, each under the same cursor every time.
pub trait LiveBus: std::fmt::Debug + Send + Sync {
    /// Makes or finds the stream of a job.
    fn open(&self, job: i64) -> BusFuture<'_, ()>;
    /// Whether the caller may ask this host now.
    fn claim(&self, job: i64, host: i64) -> BusFuture<'_, bool>;
    /// The host may be asked again.
    fn unclaim(&self, job: i64, host: i64) -> BusFuture<'_, ()>;
    /// Appends a host's answer, unless it has answered before.
    fn answer(&self, job: i64, host: i64, line: Vec<u8>) -> BusFuture<'_, bool>;
    /// Lines behind `cursor` of about `max_bytes`, at least one if there is one.
    fn read(&self, job: i64, cursor: u64, max_bytes: usize) -> BusFuture<'_, Piece>;
    /// Follows the end of the stream. `None` for a job that is not there.
    fn watch(&self, job: i64) -> Option<watch::Receiver<u64>>;
    /// Bytes of the stream.
    fn length(&self, job: i64) -> u64;
    /// Forgets a job and its answers.
    fn remove(&self, job: i64) -> BusFuture<'_, ()>;
}

#[cfg(test)]
pub(crate) mod contract_tests {
    use super::LiveBus;

    /// Everything a bus promises. `reopen` gives the same bus after its process was restarted.
    pub async fn run<B: LiveBus>(bus: B, reopen: impl Fn() -> B) {
        bus.open(1).await.unwrap();
        assert!(bus.claim(1, 7).await.unwrap());
        assert!(!bus.claim(1, 7).await.unwrap(), "a turn is given once");
        bus.unclaim(1, 7).await.unwrap();
        assert!(bus.claim(1, 7).await.unwrap(), "and again when it was given back");

        let mut end = bus.watch(1).unwrap();
        assert!(bus.answer(1, 7, b"{\"host_id\":7,\"n\":1}".to_vec()).await.unwrap());
        assert!(end.has_changed().unwrap(), "watchers hear of it");
        end.mark_unchanged();
        assert!(!bus.answer(1, 7, b"{\"host_id\":7,\"n\":2}".to_vec()).await.unwrap(), "the first answer counts");
        assert!(!bus.claim(1, 7).await.unwrap(), "who has answered is not asked");
        for host in 8..=20 {
            assert!(bus.answer(1, host, format!("{{\"host_id\":{host}}}").into_bytes()).await.unwrap());
        }

        let all = bus.read(1, 0, usize::MAX).await.unwrap();
        assert_eq!(all.lines.len(), 14);
        assert_eq!(all.lines[0].text, b"{\"host_id\":7,\"n\":1}");
        let mut cursor = 0;
        let mut seen = Vec::new();
        loop {
            let piece = bus.read(1, cursor, 1).await.unwrap();
            if piece.lines.is_empty() {
                break;
            }
            assert_eq!(piece.lines.last().unwrap().cursor, piece.next);
            cursor = piece.next;
            seen.extend(piece.lines);
        }
        assert_eq!(seen, all.lines, "small pieces give the same lines");
        drop(bus);

        let bus = reopen();
        bus.open(1).await.unwrap();
        assert_eq!(bus.read(1, 0, usize::MAX).await.unwrap(), all, "a restart loses no answer");
        assert!(!bus.answer(1, 9, b"{\"host_id\":9}".to_vec()).await.unwrap(), "nor who has answered");
        assert!(bus.claim(1, 99).await.unwrap());
        bus.remove(1).await.unwrap();
        assert!(bus.watch(1).is_none());
        bus.open(1).await.unwrap();
        assert!(bus.read(1, 0, usize::MAX).await.unwrap().lines.is_empty(), "a removed job has no answers");
    }
}
