//! How often passwords may be tried. Strangers spend what their address and the account have; they never spend what is
//! kept for those who have logged in from an address before, or for an address that has not tried the account yet.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// Keys share this many slots, so that made-up names and addresses take no memory. Two keys in one slot share its rate.
const SLOTS: usize = 1 << 16;

/// Accounts with the address that they logged in from: the number of pairs that a node remembers.
const KNOWN_PAIRS: usize = 1 << 12;

/// The attempts a minute at an account from an address that has not logged in to it, when strangers have spent the rate
/// of the account.
const RESERVE_PER_MINUTE: u32 = 1;

const MINUTE: Duration = Duration::from_secs(60);

/// The address of a client; the network of an IPv6 address, because a client chooses the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    /// The peer of a connection; those without an address are one peer.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(match address.map(|address| address.to_canonical()) {
            None => Ipv4Addr::UNSPECIFIED.into(),
            Some(IpAddr::V4(address)) => address.into(),
            Some(IpAddr::V6(address)) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

/// Whether somebody has logged in to the account from the address before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginSource {
    Familiar,
    Stranger,
}

/// The attempts of the last minute. They hold per node.
#[derive(Debug)]
pub(super) struct Attempts {
    hasher: RandomState,
    /// Strangers, by address.
    peers: Rates,
    /// Strangers, by account.
    accounts: Rates,
    /// Strangers, by account and address, once the account has nothing left.
    reserve: Rates,
    /// Known callers, by account and address; users with a session, by id.
    known: Rates,
    known_pairs: Box<[AtomicU64]>,
}

impl Attempts {
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            hasher: RandomState::new(),
            peers: Rates::new(per_minute),
            accounts: Rates::new(per_minute),
            reserve: Rates::new(RESERVE_PER_MINUTE),
            known: Rates::new(per_minute),
            known_pairs: (0..KNOWN_PAIRS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts an attempt to log in.
    ///
    /// # Errors
    /// How long to wait, if there were too many.
    pub(super) fn log_in(&self, email: &str, peer: Peer, now: Moment) -> Result<LoginSource, Duration> {
        let pair = self.hasher.hash_one((email, peer));
        if self.known_pair(pair).load(Ordering::Relaxed) == pair {
            return self.known.take(pair, now).map(|()| LoginSource::Familiar);
        }
        self.peers.take(self.hasher.hash_one(peer), now)?;
        let of_account = self.accounts.take(self.hasher.hash_one(email), now);
        of_account.or_else(|_| self.reserve.take(pair, now)).map(|()| LoginSource::Stranger)
    }

    /// Counts an attempt of a user with a session to show the own password.
    ///
    /// # Errors
    /// As for logging in.
    pub(super) fn own_password(&self, user_id: i64, now: Moment) -> Result<(), Duration> {
        self.known.take(self.hasher.hash_one(user_id), now)
    }

    /// Remembers that the account was logged in to from the address.
    pub(super) fn succeeded(&self, email: &str, peer: Peer) {
        let pair = self.hasher.hash_one((email, peer));
        self.known_pair(pair).store(pair, Ordering::Relaxed);
    }

    fn known_pair(&self, pair: u64) -> &AtomicU64 {
        &self.known_pairs[slot(pair, KNOWN_PAIRS)]
    }
}

/// A rate for each key: as many at once as in a minute, then one after the other.
#[derive(Debug)]
struct Rates {
    every_micros: i64,
    /// When everything that was taken is given back, by slot.
    full_at: Box<[AtomicI64]>,
}

impl Rates {
    fn new(per_minute: u32) -> Self {
        let every = MINUTE / per_minute.max(1);
        Self { every_micros: micros(every), full_at: (0..SLOTS).map(|_| AtomicI64::new(0)).collect() }
    }

    fn take(&self, key: u64, now: Moment) -> Result<(), Duration> {
        let latest = now.plus(MINUTE).0;
        let taken = |full_at: i64| {
            let next = full_at.max(now.0).saturating_add(self.every_micros);
            (next <= latest).then_some(next)
        };
        let slot = &self.full_at[slot(key, SLOTS)];
        let outcome = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        outcome.map(drop).map_err(|full_at| Moment(full_at.saturating_add(self.every_micros)).since(Moment(latest)))
    }
}

/// The slot of a key among a power of two of them.
fn slot(key: u64, slots: usize) -> usize {
    usize::try_from(key & (slots as u64 - 1)).unwrap_or_default()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Moment = Moment(1_768_478_400_000_000);
    const OWNER: &str = "owner@example.com";

    fn peer(last: u8) -> Peer {
        Peer::of(Some(IpAddr::from([192, 0, 2, last])))
    }

    fn at(seconds: u64) -> Moment {
        NOON.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn an_address_has_a_rate_and_is_told_when_to_come_back() {
        let attempts = Attempts::new(3);
        for number in 0..3 {
            attempts.log_in(&format!("made-up-{number}@example.com"), peer(1), NOON).unwrap();
        }
        assert_eq!(attempts.log_in(OWNER, peer(1), NOON), Err(Duration::from_secs(20)));
        assert_eq!(attempts.log_in(OWNER, peer(1), at(15)), Err(Duration::from_secs(5)));
        assert_eq!(attempts.log_in(OWNER, peer(1), at(20)), Ok(LoginSource::Stranger));
        assert_eq!(attempts.log_in("other@example.com", peer(2), NOON), Ok(LoginSource::Stranger));
    }

    #[test]
    fn the_owner_of_an_account_under_attack_gets_in() {
        let attempts = Attempts::new(10);
        attempts.succeeded(OWNER, peer(200));
        for attacker in 0..5 {
            let tried = (0..20).filter(|_| attempts.log_in(OWNER, peer(attacker), NOON).is_ok()).count();
            assert!(tried <= 10, "address {attacker} tried {tried} times");
        }
        let of_last = (0..20).filter(|_| attempts.log_in(OWNER, peer(101), NOON).is_ok()).count();
        assert_eq!(of_last, 1, "the rate of the account is spent");
        assert_eq!(attempts.log_in(OWNER, peer(200), NOON), Ok(LoginSource::Familiar));
        assert_eq!(
            attempts.log_in(OWNER, peer(201), NOON),
            Ok(LoginSource::Stranger),
            "from a new address, once a minute"
        );
        assert!(attempts.log_in(OWNER, peer(201), NOON).is_err());
    }

    #[test]
    fn a_password_shown_by_its_owner_costs_strangers_nothing_and_the_other_way_round() {
        let attempts = Attempts::new(2);
        while attempts.log_in(OWNER, peer(1), NOON).is_ok() {}
        attempts.own_password(1, NOON).unwrap();
        attempts.own_password(1, NOON).unwrap();
        assert!(attempts.own_password(1, NOON).is_err());
        attempts.own_password(2, NOON).unwrap();
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let of = |text: &str| Peer::of(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), peer(1));
    }
}
