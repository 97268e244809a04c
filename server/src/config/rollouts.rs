use std::path::PathBuf;

use super::section::section;
use super::value::Secret;

section! {
    /// Rollouts: changes that reach hosts in stages.
    "rollouts" Rollouts {
        /// URL (https:// or http://) to which every step of a rollout is posted as JSON, such as the incoming webhook of a chat. Empty: none. It is a secret, since such URLs hold tokens.
        webhook_url: Secret = Secret::default(),
        /// CA certificates (PEM) to trust for it. Empty: trust the CAs of the system.
        webhook_tls_ca: Option<PathBuf> = None,
    }
}
