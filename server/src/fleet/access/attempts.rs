//! How often passwords may be tried. Strangers spend what their address and the account have; they never spend what is
//! kept for those who have logged in from another address before, or for an address that has not tried the account yet.
//! Whoever shares an address with the owner of an account cannot be told from the owner, and spends what is kept for both.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::Peer;
use crate::clock::Moment;

/// Keys share this many slots, so that made-up names and addresses take no memory. Two keys in one slot share its rate.
const SLOTS: usize = 1 << 16;

/// Accounts with the address that they logged in from: the number of pairs that a node remembers.
const KNOWN_PAIRS: usize = 1 << 12;

/// The attempts a minute at an account from an address that has not logged in to it, when strangers have spent the rate
/// of the account.
const RESERVE_PER_MINUTE: u32 = 1;

/// The rate of an IPv6 /56, and that of a /48, in rates of an address: a client may have all addresses of either.
const BLOCK_RATES: u32 = 4;
const NETWORK_RATES: u32 = 16;

const MINUTE: Duration = Duration::from_secs(60);

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
    /// Strangers at IPv6 addresses, by the /56 and by the /48 of these.
    blocks: Rates,
    networks: Rates,
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
            blocks: Rates::new(per_minute.saturating_mul(BLOCK_RATES)),
            networks: Rates::new(per_minute.saturating_mul(NETWORK_RATES)),
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
        if let Some(block) = peer.block() {
            self.blocks.take(self.hasher.hash_one(block), now)?;
            self.networks.take(self.hasher.hash_one(peer.network()), now)?;
        }
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
    use std::net::{IpAddr, Ipv6Addr};

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
    fn the_addresses_of_one_ipv6_client_share_a_rate() {
        let attempts = Attempts::new(10);
        let tried = |from: u128, step: usize, peers: usize| {
            let peer = |bits: u128| Peer::of(Some(Ipv6Addr::from_bits(bits << 64).into()));
            let tries = (from..).step_by(step).take(peers).flat_map(|bits| (0..20).map(move |account| (account, bits)));
            let is_tried = |(account, bits): &(u32, u128)| {
                attempts.log_in(&format!("{account}-{bits}@example.com"), peer(*bits), NOON).is_ok()
            };
            tries.filter(is_tried).count()
        };
        let network = 0x2001_0db8_0001_0000;
        assert_eq!(tried(network, 1, 6), 40, "a /56");
        assert_eq!(tried(network + 256, 64, 14), 120, "the rest of the /48");
        assert_eq!(tried(network + 65_536, 1, 1), 10, "another /48");
    }

    #[test]
    fn two_users_behind_one_address_have_rates_of_their_own() {
        let attempts = Attempts::new(5);
        attempts.succeeded(OWNER, peer(1));
        while attempts.log_in("colleague@example.com", peer(1), NOON).is_ok() {}
        for _ in 0..5 {
            assert_eq!(attempts.log_in(OWNER, peer(1), NOON), Ok(LoginSource::Familiar));
        }
        assert!(attempts.log_in(OWNER, peer(1), NOON).is_err(), "whoever is there spends it");
        assert_eq!(attempts.log_in(OWNER, peer(2), NOON), Ok(LoginSource::Stranger), "elsewhere nothing is spent");
    }
}
