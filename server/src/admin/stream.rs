//! Long answers, sent as their readers take them.
//!
//! A connection asks for more only when its reader has taken what was sent, so an answer that nobody reads would hold what
//! it is made of for as long as the reader likes. A task therefore stands between: it holds what the answer is made of,
//! and drops it when the reader has taken nothing for `server.stream_timeout`, or has gone.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fleet::Error;
use crate::telemetry::Metrics;

/// Most bytes that are handed to a connection at one time: a reader must take so much within the timeout.
pub(super) const PIECE: usize = 64 * 1024;

/// The bound on the time of an answer.
#[derive(Debug, Clone)]
pub(super) struct StreamPace {
    pub within: Duration,
    pub metrics: Arc<Metrics>,
}

/// A piece that waits for the connection.
#[derive(Debug)]
enum Slot {
    Empty,
    Next(io::Result<Bytes>),
    End,
    /// The reader was too slow; the rest is gone.
    TooLate,
}

/// The end at the connection.
struct Taker {
    slot: Arc<watch::Sender<Slot>>,
    waiting: watch::Receiver<Slot>,
    _gone: DropGuard,
}

/// The end at the task that makes the text.
struct Giver {
    slot: Arc<watch::Sender<Slot>>,
    taken: watch::Receiver<Slot>,
    gone: CancellationToken,
    pace: StreamPace,
}

/// The same text, whose parts are dropped when the reader is too slow or has gone. Must be called on a worker.
pub(super) fn paced(
    text: impl Stream<Item = io::Result<Bytes>> + 'static,
    pace: StreamPace,
) -> impl Stream<Item = io::Result<Bytes>> {
    paced_until(std::future::pending(), text, pace)
}

/// As [`paced`]; the text also breaks off when `end` gives a reason, whether its reader takes anything or not.
pub(super) fn paced_until(
    end: impl Future<Output = Error> + 'static,
    text: impl Stream<Item = io::Result<Bytes>> + 'static,
    pace: StreamPace,
) -> impl Stream<Item = io::Result<Bytes>> {
    let slot = Arc::new(watch::Sender::new(Slot::Empty));
    let gone = CancellationToken::new();
    let giver = Giver { taken: slot.subscribe(), slot: Arc::clone(&slot), gone: gone.clone(), pace };
    let taker = Taker { waiting: slot.subscribe(), slot, _gone: gone.drop_guard() };
    actix_web::rt::spawn(giver.give_until(end, text));
    stream::unfold(taker, |mut taker| async move { taker.take().await.map(|piece| (piece, taker)) })
}

impl Taker {
    async fn take(&mut self) -> Option<io::Result<Bytes>> {
        // The slot outlives this end.
        let _ = self.waiting.wait_for(|slot| !matches!(slot, Slot::Empty)).await;
        match self.slot.send_replace(Slot::Empty) {
            Slot::Next(piece) => Some(piece),
            Slot::TooLate => Some(Err(io::Error::other("the reader was too slow"))),
            Slot::Empty | Slot::End => None,
        }
    }
}

impl Giver {
    async fn give_until(mut self, end: impl Future<Output = Error>, text: impl Stream<Item = io::Result<Bytes>>) {
        let reason = tokio::select! {
            () = self.give(text) => return,
            reason = end => reason,
        };
        self.slot.send_replace(Slot::Next(Err(io::Error::other(reason))));
    }

    async fn give(&mut self, text: impl Stream<Item = io::Result<Bytes>>) {
        let mut text = pin!(text);
        loop {
            let part = tokio::select! {
                part = text.next() => part,
                () = self.gone.cancelled() => return,
            };
            let last = match part {
                Some(Ok(mut part)) => {
                    while !part.is_empty() {
                        let piece = part.split_to(part.len().min(PIECE));
                        if !self.put(piece).await {
                            return;
                        }
                    }
                    continue;
                }
                Some(Err(error)) => Slot::Next(Err(error)),
                None => Slot::End,
            };
            self.slot.send_replace(last);
            return;
        }
    }

    /// Hands a piece over and waits until it is taken; `false` when nobody takes it.
    async fn put(&mut self, piece: Bytes) -> bool {
        self.slot.send_replace(Slot::Next(Ok(piece)));
        let taken = tokio::time::timeout(self.pace.within, self.taken.wait_for(|slot| matches!(slot, Slot::Empty)));
        let is_in_time = tokio::select! {
            taken = taken => taken.is_ok(),
            () = self.gone.cancelled() => return false,
        };
        if !is_in_time {
            self.pace.metrics.limit_hit("stream_timeout");
            self.slot.send_replace(Slot::TooLate);
        }
        is_in_time
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;

    /// Parts of a text that hold something.
    fn holding(parts: usize, bytes: usize) -> (impl Stream<Item = io::Result<Bytes>>, Weak<()>) {
        let held = Arc::new(());
        let weak = Arc::downgrade(&held);
        let text = stream::unfold((held, 0), move |(held, part)| async move {
            (part < parts).then(|| (Ok(Bytes::from(vec![b'x'; bytes])), (held, part + 1)))
        });
        (text, weak)
    }

    fn pace(within: Duration) -> StreamPace {
        StreamPace { within, metrics: Arc::new(Metrics::new().unwrap()) }
    }

    async fn is_dropped(held: &Weak<()>) {
        while held.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[actix_web::test]
    async fn a_reader_gets_everything_in_pieces() {
        let (text, held) = holding(3, PIECE + 1);
        let pieces: Vec<Bytes> = paced(text, pace(Duration::MAX)).map(Result::unwrap).collect().await;
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE, 1, PIECE, 1, PIECE, 1]);
        is_dropped(&held).await;
    }

    #[actix_web::test]
    async fn a_reader_who_takes_nothing_holds_nothing_and_sees_no_good_end() {
        let (text, held) = holding(3, 10);
        let pace = pace(Duration::from_millis(1));
        let mut text = pin!(paced(text, pace.clone()));
        is_dropped(&held).await;
        assert!(text.next().await.unwrap().is_err());
        assert!(pace.metrics.render().unwrap().contains("muster_limit_hits_total{limit=\"stream_timeout\"} 1"));
    }

    #[actix_web::test]
    async fn a_text_ends_with_what_its_reader_may_do_though_nobody_reads() {
        let (text, held) = holding(3, 10);
        let (revoke, revoked) = tokio::sync::oneshot::channel::<()>();
        let end = async {
            let _ = revoked.await;
            Error::Unauthenticated
        };
        let mut text = pin!(paced_until(end, text, pace(Duration::MAX)));
        text.next().await.unwrap().unwrap();
        revoke.send(()).unwrap();
        is_dropped(&held).await;
        assert!(text.next().await.unwrap().is_err());
    }

    #[actix_web::test]
    async fn a_reader_who_goes_holds_nothing() {
        let (text, held) = holding(3, 10);
        let mut text = Box::pin(paced(text, pace(Duration::MAX)));
        text.next().await.unwrap().unwrap();
        drop(text);
        is_dropped(&held).await;
    }
}
