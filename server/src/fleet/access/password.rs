use std::sync::Mutex;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use super::peer::Network;
use crate::fleet::{Error, Problem, Result};
use crate::lock::lock;

/// Hashings that run at one time: each takes 19 MiB and tens of milliseconds of a core.
const AT_ONE_TIME: usize = 2;

/// Passwords of strangers that may wait to be checked; one of them is checked at a time, so that other users need not
/// wait for them.
const WAITING_STRANGERS: usize = 32;

/// How many of these may come from one network, so that one alone leaves room for others.
const WAITING_OF_A_NETWORK: usize = 8;

/// Fewest characters of a password.
const MIN_LENGTH: usize = 12;

/// Most characters of a password.
const MAX_LENGTH: usize = 128;

/// A hash no password has: of users who have not been given one, and verified when there is no user, so that both take as
/// long. Parameters as for real ones.
pub(super) const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8tc3VjaC11c2VyLXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and checks passwords with argon2id, a few at a time.
#[derive(Debug)]
pub(super) struct Passwords {
    all: Semaphore,
    strangers: Semaphore,
    waiting: WaitingRoom,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { all: Semaphore::new(AT_ONE_TIME), strangers: Semaphore::new(1), waiting: WaitingRoom::default() }
    }
}

impl Passwords {
    pub(super) async fn hash(&self, password: String) -> Result<String> {
        self.run(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|error| Error::Internal(error.to_string().into()))
        })
        .await
    }

    /// Whether it is the password behind `hash`; without a hash, no, after as much work. What is longer than passwords are
    /// is none of anybody, and costs no work.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        if is_too_long(&password) {
            return Ok(false);
        }
        self.run(move || {
            let known = hash.is_some();
            let text = hash.unwrap_or_else(|| NOBODY.to_owned());
            let hash = PasswordHash::new(&text).map_err(|error| Error::Internal(error.to_string().into()))?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok() && known)
        })
        .await
    }

    /// As [`Passwords::verify`]; `None` if too many strangers wait already, or too many of this network.
    pub(super) async fn verify_for_stranger(
        &self,
        password: String,
        hash: Option<String>,
        network: Network,
    ) -> Result<Option<bool>> {
        if is_too_long(&password) {
            return Ok(Some(false));
        }
        let Some(_waiting) = self.waiting.enter(network) else { return Ok(None) };
        let _permit = self.strangers.acquire().await.map_err(|error| Error::Internal(Box::new(error)))?;
        self.verify(password, hash).await.map(Some)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _permit = self.all.acquire().await.map_err(|error| Error::Internal(Box::new(error)))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(Box::new(error)))?
    }
}

/// The networks of the strangers who wait.
#[derive(Debug, Default)]
struct WaitingRoom(Mutex<Vec<Network>>);

/// A stranger who waits. Dropping it makes room for another.
struct WaitingGuest<'a>(&'a WaitingRoom, Network);

impl WaitingRoom {
    fn enter(&self, network: Network) -> Option<WaitingGuest<'_>> {
        let mut waiting = lock(&self.0);
        let of_network = waiting.iter().filter(|other| **other == network).count();
        if waiting.len() >= WAITING_STRANGERS || of_network >= WAITING_OF_A_NETWORK {
            return None;
        }
        waiting.push(network);
        Some(WaitingGuest(self, network))
    }
}

impl Drop for WaitingGuest<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.0);
        if let Some(position) = waiting.iter().position(|other| *other == self.1) {
            waiting.swap_remove(position);
        }
    }
}

fn is_too_long(password: &str) -> bool {
    password.chars().count() > MAX_LENGTH
}

/// Says what a password lacks.
pub(super) fn check(path: &str, password: &str, problems: &mut Vec<Problem>) {
    let length = password.chars().count();
    let has_digit = password.chars().any(|c| c.is_ascii_digit());
    let has_symbol = password.chars().any(|c| !c.is_alphanumeric() && !c.is_whitespace());
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) || !has_digit || !has_symbol {
        problems.push(Problem::new(
            path,
            format!(
                "password does not meet validation requirements: {MIN_LENGTH} to {MAX_LENGTH} characters, with a digit and a symbol"
            ),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Peer;
    use super::*;

    #[tokio::test]
    async fn hashes_verify_and_nobody_does_not() {
        let passwords = Passwords::default();
        let hash = passwords.hash("not-a-real-secret-1".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(passwords.verify("not-a-real-secret-1".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("another-secret-2".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("anything".to_owned(), None).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_too_long_to_be_a_password_is_not_hashed() {
        let passwords = Passwords::default();
        passwords.all.close();
        let (longest, longer) = ("ä".repeat(MAX_LENGTH), "ä".repeat(MAX_LENGTH + 1));
        assert!(!passwords.verify(longer.clone(), None).await.unwrap());
        assert_eq!(passwords.verify_for_stranger(longer, None, network(1)).await.unwrap(), Some(false));
        assert!(passwords.verify(longest, None).await.is_err(), "it would be hashed");
    }

    fn network(part: u8) -> Network {
        Peer::of(Some([192, 0, part, 1].into())).network()
    }

    /// Many addresses of one network are no reason to refuse somebody from elsewhere.
    #[test]
    fn a_network_leaves_room_for_strangers_of_others() {
        let room = WaitingRoom::default();
        let mut guests: Vec<_> = (0..WAITING_OF_A_NETWORK).map(|_| room.enter(network(1)).unwrap()).collect();
        assert!(room.enter(network(1)).is_none());
        let elsewhere = room.enter(network(2)).unwrap();
        drop(guests.pop());
        assert!(room.enter(network(1)).is_some());
        drop((guests, elsewhere));
        let all: Vec<_> = (0..=u8::MAX).filter_map(|part| room.enter(network(part))).collect();
        assert_eq!(all.len(), WAITING_STRANGERS);
    }

    #[test]
    fn weak_passwords_are_named() {
        for weak in ["short1!", "no-digit-in-here!", "nosymbolinhere123"] {
            let mut problems = Vec::new();
            check("password", weak, &mut problems);
            assert_eq!(problems.len(), 1, "{weak}");
        }
    }
}
