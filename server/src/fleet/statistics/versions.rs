//! The versions of queries that hosts have run, in memory. Rows are added and never changed, so what is known stays right.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::Store;
use crate::store::entity::query_versions::Model;
use crate::store::statistics::samples;

/// A scheduled query, whatever its SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::fleet) struct QueryName {
    /// Empty for the top-level schedule.
    pub pack: String,
    pub name: String,
}

/// Versions by what names them, and the other way round.
#[derive(Debug, Default)]
pub(super) struct Versions {
    newest: i64,
    /// By position, the number that is the same for all versions of a query on this node.
    names: Vec<Arc<QueryName>>,
    name_ids: HashMap<Arc<QueryName>, i64>,
    by_hash: HashMap<(i64, i64), i64>,
    by_id: HashMap<i64, VersionKey>,
}

/// What a version is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VersionKey {
    pub name_id: i64,
    pub sql_hash: i64,
}

impl Versions {
    /// Takes over the rows that were added since the last call.
    pub async fn refresh(&mut self, store: &Store) -> Result<()> {
        loop {
            let rows = samples::versions_after(store.reader(), self.newest).await?;
            if rows.is_empty() {
                return Ok(());
            }
            rows.into_iter().for_each(|row| self.add(row));
        }
    }

    /// Adds versions to the database, and takes over all that are there.
    pub async fn intern(&mut self, store: &Store, new: &[(QueryName, i64)], now: Moment) -> Result<()> {
        self.refresh(store).await?;
        let missing: Vec<&(QueryName, i64)> =
            new.iter().filter(|(name, sql_hash)| self.find(name, *sql_hash).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for (QueryName { pack, name }, sql_hash) in missing {
            // One in each transaction: a race for one of them stops no other.
            store.write(async |tx| samples::add_version(tx, pack, name, *sql_hash, now).await).await?;
        }
        self.refresh(store).await
    }

    fn add(&mut self, row: Model) {
        let name = Arc::new(QueryName { pack: row.pack, name: row.name });
        let name_id = *self.name_ids.entry(Arc::clone(&name)).or_insert_with(|| {
            self.names.push(name);
            self.names.len() as i64 - 1
        });
        self.by_hash.insert((name_id, row.sql_hash), row.id);
        self.by_id.insert(row.id, VersionKey { name_id, sql_hash: row.sql_hash });
        self.newest = self.newest.max(row.id);
    }

    pub fn find(&self, name: &QueryName, sql_hash: i64) -> Option<i64> {
        self.by_hash.get(&(*self.name_ids.get(name)?, sql_hash)).copied()
    }

    pub fn key(&self, version_id: i64) -> Option<VersionKey> {
        self.by_id.get(&version_id).copied()
    }

    /// A number that is the same for all versions of a query. One that is not known stands alone.
    pub fn name_id(&self, version_id: i64) -> i64 {
        self.key(version_id).map_or(!version_id.wrapping_abs(), |key| key.name_id)
    }

    pub fn name(&self, version_id: i64) -> Option<&Arc<QueryName>> {
        self.names.get(usize::try_from(self.key(version_id)?.name_id).ok()?)
    }

    /// Whether a row may have been added that is not known here.
    pub fn is_unheard_of(&self, version_id: i64) -> bool {
        version_id > self.newest
    }

    /// All versions of a query, by id.
    pub fn of_name(&self, name: &QueryName) -> Vec<(i64, VersionKey)> {
        let Some(name_id) = self.name_ids.get(name) else { return Vec::new() };
        self.by_id.iter().filter(|(_, key)| key.name_id == *name_id).map(|(id, key)| (*id, *key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_query_share_a_number() {
        let mut versions = Versions::default();
        let row = |id, name: &str, sql_hash| Model {
            id,
            pack: "p".to_owned(),
            name: name.to_owned(),
            sql_hash,
            created_at: Moment(0),
        };
        [row(4, "a", 1), row(7, "b", 1), row(9, "a", 2)].into_iter().for_each(|row| versions.add(row));
        let name = |name: &str| QueryName { pack: "p".to_owned(), name: name.to_owned() };
        assert_eq!(versions.name_id(4), versions.name_id(9));
        assert_ne!(versions.name_id(4), versions.name_id(7));
        assert_ne!(versions.name_id(5), versions.name_id(6));
        assert_eq!((versions.find(&name("a"), 2), versions.find(&name("a"), 3)), (Some(9), None));
        assert_eq!(versions.name(9).map(|name| name.name.as_str()), Some("a"));
        assert!(versions.is_unheard_of(10) && !versions.is_unheard_of(5));
        assert_eq!(versions.of_name(&name("a")).len(), 2);
    }
}
