//! When enroll secrets were used last. Memory notes it, and a task writes it: a row that every enrollment writes would make
//! those of all nodes wait for each other. A crash loses the uses of half a minute.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::Hosts;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::lock::lock;
use crate::store;

/// Uses that are not written yet, by the id of the secret: as many at most as there are secrets.
#[derive(Debug, Default)]
pub(super) struct SecretUses(Mutex<BTreeMap<i64, Moment>>);

impl SecretUses {
    pub fn note(&self, secret_id: i64, at: Moment) {
        let mut uses = lock(&self.0);
        let last = uses.entry(secret_id).or_insert(at);
        *last = at.max(*last);
    }
}

impl Hosts {
    /// Writes when secrets were used last.
    ///
    /// # Errors
    /// When the database does not answer; the next call tries again.
    pub async fn write_secret_uses(&self) -> Result<()> {
        let uses = std::mem::take(&mut *lock(&self.secret_uses.0));
        let mut uses = uses.into_iter();
        while let Some((id, at)) = uses.next() {
            if let Err(error) = self.store.write(async |tx| store::secrets::mark_used(tx, id, at).await).await {
                self.secret_uses.note(id, at);
                uses.for_each(|(id, at)| self.secret_uses.note(id, at));
                return Err(error.into());
            }
        }
        Ok(())
    }
}
