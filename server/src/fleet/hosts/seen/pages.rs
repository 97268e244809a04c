//! Last-seen times in the database, by pages: whoever stores a page keeps the later one of each two times.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{stored, times};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Hosts;
use crate::lock::lock;
use crate::store::entity::seen_pages::Model;
use crate::store::seen_pages;

/// How often the leader stores pages. A minute, less what others that take over from it need to notice.
const STORED_EVERY: Duration = Duration::from_secs(45);

/// How often each node stores pages when messages do not reach every node.
const STORED_FOR_OTHERS_EVERY: Duration = Duration::from_secs(20);

/// Pages in one transaction: 1.3 MB at most, far below the least `max_allowed_packet`.
const PAGES_AT_ONCE: usize = 8;

/// How the stored pages compare with memory.
#[derive(Debug, Default)]
pub(super) struct KeptPages {
    /// When this node last stored its pages.
    stored_at: Moment,
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
        let every = match (are_needed, self.node.is_leader()) {
            (true, _) => Some(STORED_FOR_OTHERS_EVERY),
            (false, true) => Some(STORED_EVERY),
            (false, false) => None,
        };
        if everything || every.is_some_and(|every| now.since(kept.stored_at) >= every) {
            self.store_pages(&mut kept, now).await?;
            kept.stored_at = now;
        }
        if are_needed {
            self.read_pages(&mut kept).await?;
        }
        Ok(())
    }

    async fn read_pages(&self, kept: &mut KeptPages) -> Result<()> {
        let latest = times::seconds(self.clock.now());
        let revisions = seen_pages::revisions(self.store.reader()).await?;
        let is_news = |(page, revision): &(i64, i64)| kept.revisions.get(page) != Some(revision);
        let news: Vec<i64> = revisions.into_iter().filter(is_news).map(|(page, _)| page).collect();
        for batch in news.chunks(PAGES_AT_ONCE) {
            for page in seen_pages::read(self.store.reader(), batch).await? {
                match stored::decode(&page.seconds) {
                    Some(times) => self.index.seen.merge_stored(page.page, &times, latest),
                    None => self.metrics.seen_pages("unreadable", 1),
                }
                kept.revisions.insert(page.page, page.revision);
            }
        }
        Ok(())
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
            self.metrics.seen_page_bytes.inc_by(outcome.bytes);
            for (page, times) in outcome.pages {
                self.index.seen.merge_stored(page.page, &times, times::seconds(now));
                kept.revisions.insert(page.page, page.revision);
            }
        }
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
                // Left to the node that has written it.
                let Some(before) = stored::decode(&page.seconds) else {
                    outcome.unreadable += 1;
                    continue;
                };
                let merged: Vec<u32> = before.iter().zip(known).map(|(stored, known)| *stored.max(known)).collect();
                if merged != before {
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
