//! The versions of queries that hosts have run. Rows are added and never changed, so what is known stays right; what is not
//! known is read by what names it, because ids become visible in another order than that of their numbers.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use sea_orm::ConnectionTrait;

use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::Store;
use crate::store::entity::query_versions::Model;
use crate::store::{self, statistics::versions as rows};

/// A scheduled query, whatever its SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::fleet) struct QueryName {
    /// Empty for the top-level schedule.
    pub pack: String,
    pub name: String,
}

/// A version of a scheduled query: its name and the hash of its SQL.
pub(in crate::fleet) type VersionName = (QueryName, i64);

/// All versions that this node has met. Whoever needs them takes what is known at that moment.
#[derive(Debug, Default)]
pub(super) struct Versions(RwLock<Arc<KnownVersions>>);

/// Versions by what names them, and the other way round.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownVersions {
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
    /// About when a sample first named it.
    pub added_at: Moment,
}

impl Versions {
    pub fn known(&self) -> Arc<KnownVersions> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes rows that are in the database.
    fn note(&self, rows: Vec<Model>) {
        if !rows.is_empty() {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let known = Arc::make_mut(&mut known);
            rows.into_iter().for_each(|row| known.add(row));
        }
    }

    /// Reads the versions with these ids that are not known yet. Inside of a transaction that has read the ids, all are
    /// found.
    pub async fn read(&self, db: &impl ConnectionTrait, ids: impl Iterator<Item = i64>) -> store::Result<()> {
        let known = self.known();
        let missing: BTreeSet<i64> = ids.filter(|id| !known.by_id.contains_key(id)).collect();
        self.note(rows::by_ids(db, missing.into_iter().collect()).await?);
        Ok(())
    }

    /// Reads these versions if they are not known yet and there.
    pub async fn find(&self, db: &impl ConnectionTrait, wanted: impl Iterator<Item = &VersionName>) -> Result<()> {
        let known = self.known();
        let missing = wanted.filter(|(name, sql_hash)| known.find(name, *sql_hash).is_none());
        let hashes: BTreeSet<i64> = missing.map(|(_, sql_hash)| *sql_hash).collect();
        self.note(rows::by_hashes(db, hashes.into_iter().collect()).await?);
        Ok(())
    }

    /// Reads these versions, and adds those to the database that are not there.
    pub async fn intern(&self, store: &Store, wanted: &BTreeSet<VersionName>, now: Moment) -> Result<()> {
        self.find(store.reader(), wanted.iter()).await?;
        let known = self.known();
        let missing: Vec<&VersionName> =
            wanted.iter().filter(|(name, sql_hash)| known.find(name, *sql_hash).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for (QueryName { pack, name }, sql_hash) in &missing {
            // One in each transaction: a race for one of them stops no other.
            store.write(async |tx| rows::add(tx, pack, name, *sql_hash, now).await).await?;
        }
        let hashes: BTreeSet<i64> = missing.iter().map(|(_, sql_hash)| *sql_hash).collect();
        // What another node has added meanwhile is seen, too.
        self.note(rows::by_hashes_now(store, hashes.into_iter().collect()).await?);
        Ok(())
    }

    /// The ids of versions with SQL of these hashes, whatever they are called, the latest first, by their hashes.
    pub async fn with_hashes(
        &self,
        db: &impl ConnectionTrait,
        hashes: &[i64],
        limit: u64,
    ) -> Result<HashMap<i64, Vec<i64>>> {
        let mut found: HashMap<i64, Vec<i64>> = HashMap::new();
        let rows = rows::latest_by_hashes(db, hashes, limit).await?;
        rows.iter().for_each(|row| found.entry(row.sql_hash).or_default().push(row.id));
        self.note(rows);
        Ok(found)
    }

    /// The ids of all versions of a query, the latest first.
    pub async fn of_name(&self, db: &impl ConnectionTrait, name: &QueryName, limit: u64) -> Result<Vec<i64>> {
        Ok(rows::ids_of_name(db, &name.pack, &name.name, limit).await?)
    }
}

impl KnownVersions {
    fn add(&mut self, row: Model) {
        let name = Arc::new(QueryName { pack: row.pack, name: row.name });
        let name_id = *self.name_ids.entry(Arc::clone(&name)).or_insert_with(|| {
            self.names.push(name);
            self.names.len() as i64 - 1
        });
        self.by_hash.insert((name_id, row.sql_hash), row.id);
        self.by_id.insert(row.id, VersionKey { name_id, sql_hash: row.sql_hash, added_at: row.created_at });
    }

    pub fn find(&self, name: &QueryName, sql_hash: i64) -> Option<i64> {
        self.by_hash.get(&(*self.name_ids.get(name)?, sql_hash)).copied()
    }

    pub fn key(&self, version_id: i64) -> Option<VersionKey> {
        self.by_id.get(&version_id).copied()
    }

    /// A number that is the same for all versions of a query.
    pub fn name_id(&self, version_id: i64) -> Option<i64> {
        self.key(version_id).map(|key| key.name_id)
    }

    pub fn name(&self, version_id: i64) -> Option<&Arc<QueryName>> {
        self.names.get(usize::try_from(self.key(version_id)?.name_id).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_query_share_a_number() {
        let versions = Versions::default();
        let row = |id, name: &str, sql_hash| Model {
            id,
            pack: "p".to_owned(),
            name: name.to_owned(),
            sql_hash,
            created_at: Moment(0),
        };
        let before = versions.known();
        versions.note(vec![row(4, "a", 1), row(7, "b", 1), row(9, "a", 2)]);
        assert_eq!(before.name_id(4), None);
        let known = versions.known();
        let name = |name: &str| QueryName { pack: "p".to_owned(), name: name.to_owned() };
        assert_eq!(known.name_id(4), known.name_id(9));
        assert_ne!(known.name_id(4), known.name_id(7));
        assert_eq!((known.find(&name("a"), 2), known.find(&name("a"), 3)), (Some(9), None));
        assert_eq!(known.name(9).map(|name| name.name.as_str()), Some("a"));
        assert_eq!((known.name_id(5), known.name(5)), (None, None));
    }
}
