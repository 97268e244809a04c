//! Ends requests that take too long.
//!
//! Nearly every request waits once, for its body, and nearly none is late. So a request that waits costs no timer of its own
//! and does not listen for the stop of the server itself: it takes a slot among the waiting requests of its thread, and one
//! task on each thread looks every [`TICK`] whose time is up.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::Lifecycle;

/// A request is ended this much after its deadline at most.
const TICK: Duration = Duration::from_millis(100);

/// Why a request is ended before its work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CutShort {
    /// Its time is up.
    Late,
    /// The server stops and waits no longer.
    Hurried,
}

/// The requests of a thread that wait.
#[derive(Debug, Default)]
struct WaitingRequests {
    slots: Vec<WaitingRequest>,
    free: Vec<usize>,
    /// A task of this thread watches the slots.
    is_watched: bool,
    is_hurried: bool,
}

#[derive(Debug)]
struct WaitingRequest {
    deadline: Instant,
    waker: Option<Waker>,
    cut_short: Option<CutShort>,
}

thread_local! {
    static WAITING: RefCell<WaitingRequests> = RefCell::default();
}

/// Does work until a deadline, and not while the server hurries to stop. Work that does not wait is always done.
pub(super) async fn in_time<T>(
    lifecycle: &Lifecycle,
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Result<T, CutShort> {
    let mut work = pin!(work);
    let mut taken: Option<TakenSlot> = None;
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        let slot = taken.get_or_insert_with(|| TakenSlot::new(lifecycle, deadline));
        match slot.wait(context.waker()) {
            Some(reason) => Poll::Ready(Err(reason)),
            None => Poll::Pending,
        }
    })
    .await
}

/// A slot that is free again when this is dropped.
struct TakenSlot(usize);

impl TakenSlot {
    fn new(lifecycle: &Lifecycle, deadline: Instant) -> Self {
        let (number, is_watched) = WAITING.with_borrow_mut(|waiting| waiting.take_slot(deadline));
        if !is_watched {
            actix_web::rt::spawn(watch(Watch, lifecycle.clone()));
        }
        Self(number)
    }

    /// Why the request is to end, or nothing: then it is woken when it is.
    fn wait(&self, waker: &Waker) -> Option<CutShort> {
        WAITING.with_borrow_mut(|waiting| {
            if waiting.is_hurried {
                return Some(CutShort::Hurried);
            }
            let slot = &mut waiting.slots[self.0];
            if !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                slot.waker = Some(waker.clone());
            }
            slot.cut_short
        })
    }
}

impl Drop for TakenSlot {
    fn drop(&mut self) {
        let waker = WAITING.with_borrow_mut(|waiting| {
            waiting.free.push(self.0);
            waiting.slots[self.0].waker.take()
        });
        // Whatever that wakes or drops may look at the slots.
        drop(waker);
    }
}

impl WaitingRequests {
    /// Takes a free slot. Returns its number, and whether the slots are watched; they are to be from now on.
    fn take_slot(&mut self, deadline: Instant) -> (usize, bool) {
        let slot = WaitingRequest { deadline, waker: None, cut_short: None };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        (number, std::mem::replace(&mut self.is_watched, true))
    }

    /// Notes why requests are to end, and returns the wakers of those.
    fn end(&mut self, now: Instant) -> Vec<Waker> {
        let is_hurried = self.is_hurried;
        let due = self.slots.iter_mut().filter(|slot| is_hurried || slot.deadline <= now);
        due.filter_map(|slot| {
            let waker = slot.waker.take()?;
            slot.cut_short = Some(if is_hurried { CutShort::Hurried } else { CutShort::Late });
            Some(waker)
        })
        .collect()
    }
}

/// The watch over a thread's slots, which ends with the task that holds it.
struct Watch;

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread may be ending.
        let _ = WAITING.try_with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            waiting.is_watched = false;
            waiting.is_hurried = false;
        });
    }
}

async fn watch(_watch: Watch, lifecycle: Lifecycle) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut hurried = pin!(lifecycle.hurried());
    let mut is_hurried = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut hurried, if !is_hurried => is_hurried = true,
        }
        let wakers = WAITING.with_borrow_mut(|waiting| {
            waiting.is_hurried = is_hurried;
            waiting.end(Instant::now())
        });
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[actix_web::test]
    async fn work_that_waits_ends_at_its_deadline_or_when_the_server_hurries() {
        let lifecycle = Lifecycle::default();
        assert_eq!(in_time(&lifecycle, soon(), ready(7)).await, Ok(7));
        assert_eq!(in_time(&lifecycle, soon(), pending::<()>()).await, Err(CutShort::Late));
        let woken = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(in_time(&lifecycle, later(), woken).await, Ok(7));
        let (ended, ()) = tokio::join!(in_time(&lifecycle, later(), pending::<()>()), async { lifecycle.hurry() });
        assert_eq!(ended, Err(CutShort::Hurried));
        assert_eq!(in_time(&lifecycle, later(), pending::<()>()).await, Err(CutShort::Hurried));
        assert_eq!(in_time(&lifecycle, later(), ready(7)).await, Ok(7));
    }

    #[actix_web::test]
    async fn slots_are_taken_again() {
        let lifecycle = Lifecycle::default();
        for _ in 0..3 {
            let two = (in_time(&lifecycle, soon(), pending::<()>()), in_time(&lifecycle, soon(), pending::<()>()));
            assert_eq!(tokio::join!(two.0, two.1), (Err(CutShort::Late), Err(CutShort::Late)));
        }
        assert_eq!(WAITING.with_borrow(|waiting| (waiting.slots.len(), waiting.free.len())), (2, 2));
    }
}
