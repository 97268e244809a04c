use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use super::Carves;
use crate::fleet::{Error, Result, within};
use crate::store::carves;
use crate::store::entity::carves::Model;

/// Random bytes of a session.
const SESSION_BYTES: usize = 32;

/// The secret with which an agent sends the blocks of a carve: before 5.23 it is all that tells whose they are. Never
/// printed, stored only as a hash.
pub(super) struct SessionId(String);

impl SessionId {
    pub fn generate() -> Self {
        let mut bytes = [0_u8; SESSION_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn reveal(self) -> String {
        self.0
    }

    pub fn hash(&self) -> Vec<u8> {
        hash(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(********)")
    }
}

fn hash(session: &str) -> Vec<u8> {
    Sha256::digest(session.as_bytes()).to_vec()
}

/// The carve to which a block belongs.
#[derive(Debug, Clone)]
pub struct CarveSession(pub(super) Model);

impl CarveSession {
    /// Whether this is the carve of the session.
    pub fn is_of(&self, session: &str) -> bool {
        self.0.session_hash == hash(session)
    }

    pub fn host_id(&self) -> i64 {
        self.0.host_id
    }
}

impl Carves {
    /// The carve of a session.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if there is none, as after its host or the carve was deleted, and [`Error::Unavailable`].
    pub async fn session(&self, session: &str) -> Result<CarveSession> {
        let hash = hash(session);
        let found = within(self.store_timeout, async {
            let found = carves::by_session(self.store.reader(), &hash).await?;
            if found.is_some() || self.store.shows_every_commit() {
                return Ok(found);
            }
            // The carve may have begun just now, on another node. Anybody can make sessions up.
            let Ok(_room) = self.confirming.try_acquire() else {
                self.metrics.limit_hit("carve_sessions");
                return Err(Error::Unavailable("too many sessions of carves are being looked up".to_owned()));
            };
            Ok(carves::by_session_confirmed(self.store.current(), &hash).await?)
        });
        found.await?.map(CarveSession).ok_or(Error::Forbidden)
    }
}
