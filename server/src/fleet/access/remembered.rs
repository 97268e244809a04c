//! Sessions of admins that this node has met lately, for `/debug` while the database does not answer.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::{Permission, Principal};
use crate::clock::Moment;
use crate::lock::lock;

/// How long after the database has last known it a session is believed. Other nodes cannot say that it has ended.
const BELIEVED_FOR: Duration = Duration::from_secs(15 * 60);

/// Most sessions that are kept.
const MAX_SESSIONS: usize = 100;

/// Who they belong to, by the hash of their token.
#[derive(Debug, Default)]
pub(super) struct RememberedAdmins(Mutex<HashMap<[u8; 32], (Principal, Moment)>>);

impl RememberedAdmins {
    /// Notes whose session the database knows now. Only those who may debug are kept.
    pub fn is_known(&self, principal: &Principal, now: Moment) {
        let mut known = lock(&self.0);
        if principal.may(Permission::Debug).is_err() {
            known.remove(&principal.token_hash);
            return;
        }
        if known.len() >= MAX_SESSIONS && !known.contains_key(&principal.token_hash) {
            known.retain(|_, (_, at)| now.since(*at) < BELIEVED_FOR);
            let oldest = known.iter().min_by_key(|(_, (_, at))| *at).map(|(hash, _)| *hash);
            if let Some(oldest) = oldest.filter(|_| known.len() >= MAX_SESSIONS) {
                known.remove(&oldest);
            }
        }
        known.insert(principal.token_hash, (principal.clone(), now));
    }

    /// Notes that a session has ended.
    pub fn is_unknown(&self, token_hash: &[u8; 32]) {
        lock(&self.0).remove(token_hash);
    }

    /// Notes that sessions of a user have ended, or that the user may do something else.
    pub fn forget_user(&self, user: i64) {
        lock(&self.0).retain(|_, (principal, _)| principal.user.id != user);
    }

    /// Whose session it was, if the database has known it lately. A session lasts so long without use.
    pub fn lately(&self, token_hash: &[u8; 32], now: Moment, session: Duration) -> Option<Principal> {
        let known = lock(&self.0);
        let time = BELIEVED_FOR.min(session);
        known.get(token_hash).filter(|(_, at)| now.since(*at) < time).map(|(principal, _)| principal.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use muster_api::rest::{Role, User};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn principal(number: u8, role: Role) -> Principal {
        let user = User {
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            id: number.into(),
            name: String::new(),
            email: String::new(),
            username: String::new(),
            admin: role == Role::Admin,
            enabled: true,
            force_password_reset: false,
            gravatar_url: String::new(),
            sso_enabled: false,
            global_role: Some(role),
            api_only: false,
            teams: Vec::new(),
        };
        Principal { user, role: Some(role), token_hash: [number; 32], passes_freezes: false, gate: Arc::default() }
    }

    #[test]
    fn admins_are_remembered_for_a_time_until_the_database_says_otherwise() {
        let (known, start) = (RememberedAdmins::default(), Moment(1_000_000_000_000));
        known.is_known(&principal(1, Role::Admin), start);
        known.is_known(&principal(2, Role::Maintainer), start);
        assert!(known.lately(&[1; 32], start.plus(BELIEVED_FOR - Duration::from_secs(1)), DAY).is_some());
        assert!(known.lately(&[1; 32], start.plus(BELIEVED_FOR), DAY).is_none());
        let short = Duration::from_secs(60);
        assert!(known.lately(&[1; 32], start.plus(short), short).is_none(), "sessions are shorter");
        assert!(known.lately(&[2; 32], start, DAY).is_none(), "a maintainer");
        known.is_known(&principal(1, Role::Observer), start);
        assert!(known.lately(&[1; 32], start, DAY).is_none(), "no admin any more");
        known.is_known(&principal(1, Role::Admin), start);
        known.is_unknown(&[1; 32]);
        assert!(known.lately(&[1; 32], start, DAY).is_none(), "the session has ended");
        known.is_known(&principal(1, Role::Admin), start);
        known.forget_user(1);
        assert!(known.lately(&[1; 32], start, DAY).is_none(), "the user has other rights");
    }

    #[test]
    fn the_oldest_give_way() {
        let (known, start) = (RememberedAdmins::default(), Moment(1_000_000_000_000));
        for number in 0..=100 {
            known.is_known(&principal(number, Role::Admin), start.plus(Duration::from_secs(number.into())));
        }
        assert!(known.lately(&[0; 32], start, DAY).is_none());
        assert!(known.lately(&[1; 32], start, DAY).is_some() && known.lately(&[100; 32], start, DAY).is_some());
    }
}
