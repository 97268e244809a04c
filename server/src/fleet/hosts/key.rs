use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use crate::store::node_keys::KeyHash;

/// Random bits of a key.
const KEY_BYTES: usize = 32;

/// The secret with which an agent authenticates: 256 random bits in characters that are legal in a header. Never
/// printed, stored only as a hash.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeKey(String);

impl NodeKey {
    pub fn generate() -> Self {
        let mut bytes = [0_u8; KEY_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The key itself, for the one answer that hands it out.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash under which a key is stored and looked up.
    pub fn hash(key: &str) -> KeyHash {
        Sha256::digest(key.as_bytes()).into()
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(********)")
    }
}
