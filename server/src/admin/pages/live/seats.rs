//! The pages on which users follow live queries.
//!
//! A server learns late that a page was closed: from what it sends in vain. So a user who opens one page more than may follow
//! is not refused, but the one that has followed longest ends, which most likely nobody looks at any more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use crate::fleet::{Error, Result};
use crate::lock::lock;

/// Pages of a user that follow.
const SEATS: usize = 8;

/// With those that were told to end and have not yet.
const ALL: usize = 2 * SEATS;

/// Who follows. Clones are one.
#[derive(Debug, Clone, Default)]
pub(in crate::admin::pages) struct Seats(Arc<Mutex<TakenSeats>>);

#[derive(Debug, Default)]
struct TakenSeats {
    /// Of each user, by number, the longest first.
    by_user: HashMap<i64, VecDeque<(u64, CancellationToken)>>,
    last: u64,
}

/// The place of a page that follows, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    user_id: i64,
    number: u64,
    seats: Seats,
    /// Cancelled when another page has taken the place.
    pub taken: CancellationToken,
}

impl Seats {
    /// # Errors
    /// [`Error::Unavailable`] to users of whom too many pages have not ended although they were told to.
    pub(super) fn begin(&self, user_id: i64) -> Result<Seat> {
        let mut all = lock(&self.0);
        all.last += 1;
        let number = all.last;
        let own = all.by_user.entry(user_id).or_default();
        if own.len() >= ALL {
            return Err(Error::Unavailable(format!("{ALL} pages of yours follow live queries; close some")));
        }
        let taken = CancellationToken::new();
        own.push_back((number, taken.clone()));
        for (_, old) in own.iter().rev().skip(SEATS) {
            old.cancel();
        }
        Ok(Seat { user_id, number, seats: self.clone(), taken })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let by_user = &mut lock(&self.seats.0).by_user;
        if let Some(own) = by_user.get_mut(&self.user_id) {
            own.retain(|(number, _)| *number != self.number);
            if own.is_empty() {
                by_user.remove(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_that_has_followed_longest_makes_room() {
        let seats = Seats::default();
        let mut own: Vec<Seat> = (0..SEATS).map(|_| seats.begin(1).unwrap()).collect();
        let other = seats.begin(2).unwrap();
        assert!(own.iter().all(|seat| !seat.taken.is_cancelled()));
        own.push(seats.begin(1).unwrap());
        let ended: Vec<bool> = own.iter().map(|seat| seat.taken.is_cancelled()).collect();
        assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
        assert!(ended[0] && !other.taken.is_cancelled());
        own.extend((own.len()..ALL).map(|_| seats.begin(1).unwrap()));
        assert!(seats.begin(1).is_err(), "those that do not end are bounded, too");
        own.truncate(3);
        drop(own);
        drop(other);
        assert!(lock(&seats.0).by_user.is_empty());
    }
}
