//! Places of hosts under the quotas of secrets. A host takes one when it enrolls with another secret than the one it enrolled
//! with last, as a new host does; whoever enrolls again with the same one takes none. A host that is deleted gives none back.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::Enrollment;
use crate::store::{self, secrets};

/// Places that are left while a batch is worked out. No node gives one away a second time, as the rows are locked.
#[derive(Debug, Default)]
pub(super) struct SecretQuotas {
    left: BTreeMap<i64, i64>,
    taken: BTreeMap<i64, i64>,
}

impl SecretQuotas {
    /// Locks the rows of these secrets; without any no statement is sent.
    pub async fn lock(tx: &store::Tx, secret_ids: BTreeSet<i64>) -> store::Result<Self> {
        if secret_ids.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self { left: secrets::locked_places(tx, secret_ids.into_iter().collect()).await?, taken: BTreeMap::new() })
    }

    /// Takes a place for a host that had `before` as its secret. False if none is left, or if the secret is gone.
    pub fn take(&mut self, enrollment: &Enrollment, before: Option<i64>) -> bool {
        let id = enrollment.secret_id;
        if !enrollment.takes_place(before) {
            return true;
        }
        let Some(left) = self.left.get_mut(&id).filter(|left| **left > 0) else { return false };
        *left -= 1;
        *self.taken.entry(id).or_default() += 1;
        true
    }

    /// Writes how many places were taken.
    pub async fn write(self, tx: &store::Tx) -> store::Result<()> {
        for (id, hosts) in self.taken {
            secrets::add_enrolled(tx, id, hosts).await?;
        }
        Ok(())
    }
}
