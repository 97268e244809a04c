//! The directory is compared with the database, page by page, without end: what the feed of host changes does not tell is
//! put right. At the start, and after the node was cut off for long, all pages are read one after the other; that is how
//! the directory is loaded.
//!
//! Nodes of the version before this one tell nothing of hosts that enroll with them. While one of them lives, hosts with
//! ids above the highest known ones are looked for with every call, and pages are compared faster.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Hosts;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::directory;

/// Hosts in a page.
const PAGE: u64 = 5_000;

/// Time from one page to the next. All of 500,000 hosts are compared within an hour, at four statements a minute.
const COMPARED_EVERY: Duration = Duration::from_secs(30);

/// An id that becomes visible is lower by no more than what was given out in this time: a transaction that takes an id
/// commits within it.
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);

/// How far the directory has been compared.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    progress: tokio::sync::Mutex<ComparisonProgress>,
    /// Everything is to be read at once.
    is_whole_due: AtomicBool,
    due: Notify,
}

#[derive(Debug)]
struct ComparisonProgress {
    /// The hosts up to this id are compared, and the others come next.
    after: i64,
    /// All of them are read without pauses.
    is_whole: bool,
    at: Moment,
    /// The highest id known at a moment, and the one known before that.
    newest: (Moment, i64),
    newest_before: i64,
}

impl Default for ComparisonProgress {
    fn default() -> Self {
        Self { after: i64::MIN, is_whole: false, at: Moment::NEVER, newest: (Moment::NEVER, 0), newest_before: 0 }
    }
}

impl Hosts {
    /// Has all pages read as soon as possible.
    pub(super) fn compare_everything(&self) {
        self.comparison.is_whole_due.store(true, Ordering::SeqCst);
        self.comparison.due.notify_one();
    }

    /// Waits until all pages are to be read.
    pub async fn until_comparison_is_due(&self) {
        self.comparison.due.notified().await;
    }

    /// Compares the directory with the database: everything when that is due, and else the next page when it is time to.
    ///
    /// # Errors
    /// When the database does not answer; the next call goes on.
    pub async fn compare_directory(&self) -> Result<()> {
        let mut progress = self.comparison.progress.lock().await;
        let now = self.clock.now();
        if self.comparison.is_whole_due.swap(false, Ordering::SeqCst) {
            (progress.is_whole, progress.after) = (true, i64::MIN);
        }
        if progress.is_whole {
            progress.at = now;
            return self.compare_all(&mut progress).await;
        }
        let has_older_node = self.has_older_node();
        if has_older_node {
            self.find_new_hosts(&mut progress, now).await?;
        }
        if has_older_node || now.since(progress.at) >= COMPARED_EVERY {
            progress.at = now;
            progress.after = self.compare_page(progress.after).await?;
        }
        Ok(())
    }

    async fn compare_all(&self, progress: &mut ComparisonProgress) -> Result<()> {
        loop {
            progress.after = self.compare_page(progress.after).await?;
            if progress.after == i64::MIN {
                progress.is_whole = false;
                // Unless it is to begin again, because the node was cut off meanwhile.
                if !self.comparison.is_whole_due.load(Ordering::SeqCst) {
                    self.directory.has_loaded().await?;
                }
                return Ok(());
            }
        }
    }

    /// Compares the hosts that follow an id, and gives the last id: the least one when there are no more.
    async fn compare_page(&self, after: i64) -> Result<i64> {
        self.directory.begin_page();
        let page = directory::after(self.store.reader(), after, PAGE).await?;
        let is_last = (page.len() as u64) < PAGE;
        let until = page.last().filter(|_| !is_last).map_or(i64::MAX, |host| host.row.id);
        let mut missing = self.directory.between(after, until).await?;
        for host in &page {
            missing.remove(&host.row.id);
        }
        let gone = self.confirm_deleted(missing).await?;
        let gone = self.directory.end_page(page, gone);
        self.forget_deleted(gone, self.clock.now());
        Ok(if is_last { i64::MIN } else { until })
    }

    /// Takes over hosts with ids above those known for a while.
    async fn find_new_hosts(&self, progress: &mut ComparisonProgress, now: Moment) -> Result<()> {
        if now.since(progress.newest.0) >= VISIBLE_WITHIN {
            progress.newest_before = progress.newest.1;
            progress.newest = (now, self.directory.newest());
        }
        let mut after = progress.newest_before;
        loop {
            self.directory.begin_page();
            let page = directory::after(self.store.reader(), after, PAGE).await?;
            let last = page.last().map(|host| host.row.id).filter(|_| page.len() as u64 == PAGE);
            self.directory.end_page(page, BTreeSet::new());
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }
}
