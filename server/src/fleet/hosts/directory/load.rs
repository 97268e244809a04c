//! Reading all hosts after the start, or after the node was cut off for long.

use super::{Change, Directory, Loading};
use crate::fleet::Result;
use crate::lock::lock;
use crate::store::{Store, directory};

/// Hosts in one read.
const PAGE: u64 = 5_000;

impl Directory {
    /// Reads all hosts in pages. Changes go on meanwhile and win over what a page shows. Call it after the position in the
    /// feed was noted from which changes are followed.
    ///
    /// # Errors
    /// When the database does not answer; what was read stays, and the next load reads everything again.
    pub async fn load(&self, store: &Store) -> Result<()> {
        *lock(&self.loading) = Some(Loading::default());
        let mut last = i64::MIN;
        loop {
            let page = directory::after(store.reader(), last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last = end.row.id;
            self.change(page.into_iter().map(Change::Loaded));
        }
        self.change([Change::LoadEnded]);
        Ok(())
    }
}
