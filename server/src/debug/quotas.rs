//! How often one user may ask.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Moment;
use crate::lock::lock;

/// Requests of one user in a [`MINUTE`]. An archive takes about forty.
const MAX_REQUESTS: u32 = 240;

const MINUTE: Duration = Duration::from_secs(60);

/// Most users that are counted at one time; there are far fewer admins.
const MAX_USERS: usize = 1_000;

/// The requests of each user in the current minute.
#[derive(Debug, Default)]
pub(super) struct UserQuotas(Mutex<HashMap<i64, Minute>>);

#[derive(Debug, Clone, Copy)]
struct Minute {
    since: Moment,
    requests: u32,
}

impl UserQuotas {
    /// Counts a request of a user.
    ///
    /// # Errors
    /// How long to wait, beyond [`MAX_REQUESTS`].
    pub fn take(&self, user: i64, now: Moment) -> Result<(), Duration> {
        let mut users = lock(&self.0);
        // A clock that was set back begins anew.
        users.retain(|_, minute| now >= minute.since && now.since(minute.since) < MINUTE);
        if users.len() >= MAX_USERS && !users.contains_key(&user) {
            return Err(MINUTE);
        }
        let minute = users.entry(user).or_insert(Minute { since: now, requests: 0 });
        if minute.requests >= MAX_REQUESTS {
            return Err(MINUTE.saturating_sub(now.since(minute.since)));
        }
        minute.requests += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_so_many_requests_a_minute() {
        let (quotas, start) = (UserQuotas::default(), Moment(1_000_000_000));
        assert_eq!((0..MAX_REQUESTS + 5).filter(|_| quotas.take(1, start).is_ok()).count(), MAX_REQUESTS as usize);
        assert_eq!(quotas.take(1, start.plus(Duration::from_secs(20))), Err(Duration::from_secs(40)));
        assert_eq!(quotas.take(2, start), Ok(()), "another user");
        assert_eq!(quotas.take(1, start.plus(MINUTE)), Ok(()), "the next minute");
    }
}
