//! Last-seen times in the database, by pages: whoever stores a page keeps the later one of each two times.

use std::collections::BTreeMap;
use std::iter::repeat;
use std::time::Duration;

use super::stored::{self, Unreadable};
use super::times::{self, MAX_PAGES_OF_OTHERS};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Hosts;
use crate::lock::lock;
use crate::store::entity::seen_pages::Model;
use crate::store::seen_pages;

/// How often the leader stores pages. With the 5 s between two looks at the time, 10 s until a message has arrived
/// and 6 s by which a message dates check-ins back, a crash of all nodes loses 66 s.
const STORED_EVERY: Duration = Duration::from_secs(45);

/// A node that does not lead stores pages when no node has for this long. A leader that is killed, or alive and cut off
/// from the database, keeps its lease for up to 45 s and would have stored pages up to 50 s before: 95 s. So nobody waits
/// for the next leader; then a crash of all nodes loses 50 + 5 + 10 + 6 = 71 s, and what clocks differ by.
const STORED_WITHOUT_LEADER_AFTER: Duration = Duration::from_secs(50);

/// How often each node stores pages when messages do not reach every node.
const STORED_FOR_OTHERS_EVERY: Duration = Duration::from_secs(20);

/// Pages in one transaction: 1.3 MB at most, far below the least `max_allowed_packet`.
const PAGES_AT_ONCE: usize = 8;

/// How the stored pages compare with memory.
#[derive(Debug, Default)]
pub(super) struct KeptPages {
    /// When this node last stored its pages.
    stored_at: Moment,
    /// When any node did so, as far as this node knows.
    stored_by_any_at: Moment,
    /// The revisions of the pages that it has taken over.
    revisions: BTreeMap<i64, i64>,
}

/// What came of storing pages.
#[derive(Debug, Default)]
struct StoredPages {
    /// Pages as they are stored now, with their times.
    pages: Vec<(Model, Vec<u32>)>,
    written: u64,
    unreadable: u64,
    broken: u64,
    bytes: u64,
}

impl Hosts {
    /// Reads the stored last-seen times. For the start.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn load_seen(&self) -> Result<()> {
        self.read_pages(&mut *self.seen_sharing.pages.lock().await).await
    }

    /// Stores and reads pages as far as it is time to, or in any case.
    pub(super) async fn keep_pages(&self, everything: bool) -> Result<()> {
        let mut kept = self.seen_sharing.pages.lock().await;
        let now = self.clock.now();
        let are_needed = lock(&self.seen_sharing.peers).are_pages_needed(now);
        let stored = match everything || are_needed && now.since(kept.stored_at) >= STORED_FOR_OTHERS_EVERY {
            true => self.store_pages(&mut kept, now).await,
            false => self.store_pages_when_due(&mut kept, now).await,
        };
        let read = if are_needed { self.read_pages(&mut kept).await } else { Ok(()) };
        stored.and(read)
    }

    /// Stores pages when the leader has to, or has not done so for long.
    async fn store_pages_when_due(&self, kept: &mut KeptPages, now: Moment) -> Result<()> {
        if self.node.is_leader() {
            if now.since(kept.stored_at) < STORED_EVERY {
                return Ok(());
            }
        } else {
            let is_fresh = |kept: &KeptPages| now.since(kept.stored_by_any_at) < STORED_WITHOUT_LEADER_AFTER;
            if is_fresh(kept) {
                return Ok(());
            }
            // Whoever stored them may have a clock that is ahead.
            kept.stored_by_any_at = seen_pages::changed_at(self.store.reader()).await?.unwrap_or_default().min(now);
            if is_fresh(kept) {
                return Ok(());
            }
        }
        self.store_pages(kept, now).await
    }

    async fn read_pages(&self, kept: &mut KeptPages) -> Result<()> {
        let now = times::seconds(self.clock.now());
        // One more than there is room for, so that what is left out is counted.
        let revisions = seen_pages::revisions(self.store.reader(), MAX_PAGES_OF_OTHERS as u64 + 1).await?;
        let is_news = |(page, revision): &(i64, i64)| kept.revisions.get(page) != Some(revision);
        let news: Vec<i64> = revisions.into_iter().filter(is_news).map(|(page, _)| page).collect();
        for batch in news.chunks(PAGES_AT_ONCE) {
            for page in seen_pages::read(self.store.reader(), batch).await? {
                match stored::decode(&page.seconds) {
                    Ok(times) => self.take_over_stored(page.page, &times, now),
                    Err(Unreadable::OtherFormat) => self.metrics.seen_pages("unreadable", 1),
                    Err(Unreadable::Broken) => {
                        self.take_over_stored(page.page, &[], now);
                        self.index.seen.are_changed(&[page.page]);
                    }
                }
                kept.revisions.insert(page.page, page.revision);
            }
        }
        Ok(())
    }

    fn take_over_stored(&self, page: i64, times: &[u32], now: u32) {
        if !self.index.seen.merge_stored(page, times, now) {
            self.metrics.limit_hit("seen_pages");
        }
    }

    async fn store_pages(&self, kept: &mut KeptPages, now: Moment) -> Result<()> {
        let changed = self.index.seen.take_changed();
        let mut left = &changed[..];
        while !left.is_empty() {
            let (batch, rest) = left.split_at(left.len().min(PAGES_AT_ONCE));
            let outcome = match self.merge_into_stored(batch, now).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    self.index.seen.are_changed(left);
                    return Err(error);
                }
            };
            left = rest;
            self.metrics.seen_pages("written", outcome.written);
            self.metrics.seen_pages("unreadable", outcome.unreadable);
            self.metrics.seen_pages("broken", outcome.broken);
            self.metrics.seen_page_bytes.inc_by(outcome.bytes);
            for (page, times) in outcome.pages {
                self.take_over_stored(page.page, &times, times::seconds(now));
                kept.revisions.insert(page.page, page.revision);
            }
        }
        (kept.stored_at, kept.stored_by_any_at) = (now, now);
        Ok(())
    }

    /// Raises the times of these stored pages to those in memory.
    async fn merge_into_stored(&self, pages: &[i64], now: Moment) -> Result<StoredPages> {
        let known: BTreeMap<i64, Vec<u32>> =
            pages.iter().map(|page| (*page, self.index.seen.times_of(*page))).collect();
        let outcome = self.store.write(async |tx| {
            let mut found: BTreeMap<i64, Model> =
                seen_pages::locked(tx, pages).await?.into_iter().map(|page| (page.page, page)).collect();
            let (mut outcome, mut new, mut changed) = (StoredPages::default(), Vec::new(), Vec::new());
            for (number, known) in &known {
                let Some(mut page) = found.remove(number) else {
                    let seconds = stored::encode(known);
                    let page = Model { page: *number, seconds, revision: 1, updated_at: now };
                    new.push(page.clone());
                    outcome.pages.push((page, known.clone()));
                    continue;
                };
                let before = match stored::decode(&page.seconds) {
                    Ok(before) => Some(before),
                    Err(Unreadable::Broken) => {
                        outcome.broken += 1;
                        None
                    }
                    // Left to the node that has written it.
                    Err(Unreadable::OtherFormat) => {
                        outcome.unreadable += 1;
                        continue;
                    }
                };
                let stored = before
                    .as_deref()
                    .unwrap_or_default()
                    .iter()
                    .map(|time| times::believed(*time, times::seconds(now)));
                let merged: Vec<u32> =
                    known.iter().zip(stored.chain(repeat(0))).map(|(known, stored)| stored.max(*known)).collect();
                if before.as_ref() != Some(&merged) {
                    page.seconds = stored::encode(&merged);
                    page.revision = page.revision.wrapping_add(1);
                    page.updated_at = now;
                    changed.push(page.clone());
                }
                outcome.pages.push((page, merged));
            }
            outcome.written = (new.len() + changed.len()) as u64;
            outcome.bytes = new.iter().chain(&changed).map(|page| page.seconds.len() as u64).sum();
            seen_pages::add(tx, new).await?;
            seen_pages::replace(tx, changed).await?;
            Ok(outcome)
        });
        Ok(outcome.await?)
    }
}
