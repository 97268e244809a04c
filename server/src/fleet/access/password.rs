use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use crate::fleet::{Error, Problem, Result};

/// Hashings that run at one time: each takes 19 MiB and tens of milliseconds of a core.
const AT_ONE_TIME: usize = 2;

/// Passwords of strangers that may wait to be checked; one of them is checked at a time, so that other users need not
/// wait for them.
const WAITING_STRANGERS: usize = 32;

/// Fewest characters of a password.
const MIN_LENGTH: usize = 12;

/// Most characters of a password.
const MAX_LENGTH: usize = 128;

/// A hash no password has, verified when there is no user, so that both take as long. Parameters as for real ones.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm8tc3VjaC11c2VyLXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and checks passwords with argon2id, a few at a time.
#[derive(Debug)]
pub(super) struct Passwords {
    all: Semaphore,
    strangers: Semaphore,
    waiting_strangers: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            all: Semaphore::new(AT_ONE_TIME),
            strangers: Semaphore::new(1),
            waiting_strangers: Semaphore::new(WAITING_STRANGERS),
        }
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

    /// Whether it is the password behind `hash`; without a hash, no, after as much work.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        self.run(move || {
            let known = hash.is_some();
            let text = hash.unwrap_or_else(|| NOBODY.to_owned());
            let hash = PasswordHash::new(&text).map_err(|error| Error::Internal(error.to_string().into()))?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok() && known)
        })
        .await
    }

    /// As [`Passwords::verify`]; `None` if too many strangers wait already.
    pub(super) async fn verify_for_stranger(&self, password: String, hash: Option<String>) -> Result<Option<bool>> {
        let Ok(_waiting) = self.waiting_strangers.try_acquire() else { return Ok(None) };
        let _permit = self.strangers.acquire().await.map_err(|error| Error::Internal(Box::new(error)))?;
        self.verify(password, hash).await.map(Some)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _permit = self.all.acquire().await.map_err(|error| Error::Internal(Box::new(error)))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(Box::new(error)))?
    }
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

    #[test]
    fn weak_passwords_are_named() {
        for weak in ["short1!", "no-digit-in-here!", "nosymbolinhere123"] {
            let mut problems = Vec::new();
            check("password", weak, &mut problems);
            assert_eq!(problems.len(), 1, "{weak}");
        }
    }
}
