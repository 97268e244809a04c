//! Counts which of some hosts are online, again and again, without asking the database each time.

use std::collections::HashMap;
use std::time::Duration;

use super::Hosts;
use super::view::{NEW_FOR, is_online};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::store;
use crate::store::hosts::Contact;

/// A host that has not called for this long counts as missing, as in Fleet.
pub(super) const MISSING_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Hosts that have called within this time may be online.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// Some hosts, as the database knew them at one moment. Memory adds later calls.
#[derive(Debug)]
pub struct Presence(Vec<Contact>);

/// Hosts by whether they are there. Online and offline add up to the total; missing ones are offline too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnlineTally {
    pub total: u64,
    pub online: u64,
    pub offline: u64,
    pub missing: u64,
    pub new: u64,
}

impl Hosts {
    /// # Errors
    /// When the database does not answer.
    pub async fn presence(&self, ids: &[i64]) -> Result<Presence> {
        Ok(Presence(store::hosts::contacts(self.store.reader(), ids).await?))
    }

    /// All hosts that called any node lately. No agent that is online calls less often.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recent(&self) -> Result<Presence> {
        let since = self.clock.now().minus(RECENT);
        let is_recent = |contact: &Contact| self.seen(contact) >= since;
        Ok(Presence(store::hosts::contacts_with(self.store.reader(), is_recent).await?))
    }

    /// How many of the hosts `is_meant` picks are online.
    pub fn count_online(&self, presence: &Presence, is_meant: impl Fn(i64) -> bool) -> u64 {
        let now = self.clock.now();
        let meant = presence.0.iter().filter(|contact| is_meant(contact.id));
        meant.filter(|contact| self.calls(contact, self.seen(contact), now)).count() as u64
    }

    /// Counts them now.
    pub fn tally(&self, presence: &Presence) -> OnlineTally {
        let now = self.clock.now();
        let mut tally = OnlineTally { total: presence.0.len() as u64, ..OnlineTally::default() };
        for contact in &presence.0 {
            let seen = self.seen(contact);
            tally.online += u64::from(self.calls(contact, seen, now));
            tally.missing += u64::from(seen.plus(MISSING_AFTER) <= now);
            tally.new += u64::from(contact.created_at.plus(NEW_FOR) >= now);
        }
        tally.offline = tally.total - tally.online;
        tally
    }

    /// Whether any of the hosts `is_meant` picks is online.
    pub fn is_any_online(&self, presence: &Presence, is_meant: impl Fn(i64) -> bool) -> bool {
        let now = self.clock.now();
        presence
            .0
            .iter()
            .filter(|contact| is_meant(contact.id))
            .any(|contact| self.calls(contact, self.seen(contact), now))
    }

    /// What hosts are called where people look: the computer's name, for those that have one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn computer_names(&self, ids: &[i64]) -> Result<HashMap<i64, String>> {
        let mut names = store::hosts::computer_names(self.store.reader(), ids).await?;
        names.retain(|_, name| !name.is_empty());
        Ok(names)
    }

    fn seen(&self, contact: &Contact) -> Moment {
        self.seen_by_any(contact.id, contact.seen_at)
    }

    fn calls(&self, contact: &Contact, seen: Moment, now: Moment) -> bool {
        let reported = self.index.get(contact.id).map(|host| host.intervals.load().0);
        let (distributed, config) = reported
            .map_or((contact.distributed_interval, contact.config_refresh), |reported| {
                (reported.distributed, reported.config_refresh)
            });
        is_online(distributed, config, seen, now)
    }
}
