//! Etags of configs, which tell agents that their config is unchanged.
//!
//! An agent keeps the etag of every config that it receives, also of one that it could not apply; only a config that is sent
//! again is applied again. So a config is sent twice, and once more every hour. An etag holds, beside the hash of the config,
//! when it was sent and whether for the first time: the agent brings that along, whichever node it asks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::MAX_CONFIG_BYTES;
use crate::clock::Moment;

/// The answer to an agent whose config is unchanged.
pub(super) const UNCHANGED: &[u8] = br#"{"etag":"ok"}"#;

/// How often an agent that has received its config twice is sent it all the same.
const WHOLE_EVERY: Duration = Duration::from_secs(3600);

/// Longest member of an etag, with its comma.
const MEMBER_BYTES: usize = 80;

/// Half of a SHA-256: the hashes only have to differ where configs of one host do. `None` where no etag fits.
pub(super) fn hash_of(config: &[u8]) -> Option<Arc<str>> {
    let hash = || Sha256::digest(config).iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
    (config.len() + MEMBER_BYTES <= MAX_CONFIG_BYTES).then(|| hash().into())
}

/// The etag of the whole config that an agent with the etag `known` is sent; `None` if it has received it as often as needed.
pub(super) fn next(known: &str, hash: &str, now: Moment) -> Option<String> {
    let seconds = now.seconds();
    let mut parts = known.split('-');
    let is_same = parts.next() == Some(hash);
    let sent_at = parts.next().and_then(|seconds| seconds.parse::<i64>().ok());
    let is_due = |sent_at: i64| seconds.abs_diff(sent_at) >= WHOLE_EVERY.as_secs();
    let nth = match (parts.next(), sent_at) {
        (Some("again"), Some(sent_at)) if is_same && !is_due(sent_at) => return None,
        (Some("first" | "again"), Some(_)) if is_same => "again",
        _ => "first",
    };
    Some(format!("{hash}-{seconds}-{nth}"))
}

/// The config with its etag as another member, for agents that ask for it.
pub(super) fn put_into(config: &Bytes, etag: &str) -> Bytes {
    let members = config.strip_prefix(b"{").unwrap_or_default();
    let comma = if members == b"}" { "" } else { "," };
    let mut whole = format!("{{\"etag\":\"{etag}\"{comma}").into_bytes();
    whole.extend_from_slice(members);
    whole.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_sent_twice_and_every_hour() {
        let at = |seconds| Moment::NEVER.plus(Duration::from_secs(seconds));
        let first = next("", "a", at(10_000)).unwrap();
        let again = next(&first, "a", at(19_000)).unwrap();
        assert_ne!(first, again);
        assert_eq!(next(&again, "a", at(19_000)), None);
        assert_eq!(next(&again, "a", at(22_599)), None);
        let later = next(&again, "a", at(22_600)).unwrap();
        assert_eq!(next(&later, "a", at(22_600)), None, "once is enough");
        assert_eq!(next(&later, "b", at(22_600)), Some("b-22600-first".to_owned()));
        // Of a node whose clock is wrong.
        assert!(next("a-99999999-again", "a", at(22_600)).is_some());
        for none in ["ok", "a", "a-", "a-x-again", "a-22600", "a-22600-never", "a--1-again"] {
            assert!(next(none, "a", at(22_600)).is_some(), "{none}");
        }
    }

    #[test]
    fn an_etag_makes_no_config_too_big() {
        let config = |bytes: usize| Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)));
        let largest = config(MAX_CONFIG_BYTES - MEMBER_BYTES);
        let etag = next("", &hash_of(&largest).unwrap(), Moment(i64::MAX)).unwrap();
        let again = next(&etag, &hash_of(&largest).unwrap(), Moment(i64::MAX)).unwrap();
        for etag in [etag, again] {
            assert!(put_into(&largest, &etag).len() <= MAX_CONFIG_BYTES);
        }
        assert_eq!(hash_of(&config(MAX_CONFIG_BYTES)), None);
    }
}
