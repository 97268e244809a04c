//! SQL that reads the same tables as other SQL.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_sql::{AgentTables, Reads, names_with_views, reads};

use super::{TableGuard, Views};
use crate::fleet::{Error, Result};

/// The longest that SQLite looks at texts for one request. Of those that are left nothing is said.
const LOOKED_WITHIN: Duration = Duration::from_secs(5);

/// Most texts that are found for one.
const MAX_ALIKE: usize = 20;

/// A text, and others that read what it reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::fleet) struct AlikeSql {
    /// All tables and views that it reads.
    pub tables: BTreeSet<String>,
    /// Others that read exactly these tables, with whatever columns and conditions.
    pub others: Vec<String>,
}

impl TableGuard {
    /// For each of these texts those of `among` that read exactly the same tables. Nothing is found for one that reads no table, or
    /// of which SQLite cannot say what it reads.
    ///
    /// # Errors
    /// If a thread ends early.
    pub(in crate::fleet) async fn alike(
        &self,
        views: Vec<Views>,
        texts: Vec<String>,
        among: Vec<String>,
    ) -> Result<Vec<AlikeSql>> {
        // Without what hosts have reported all tables are unknown, which are told by their names all the same.
        let known = self.schemas.agent_tables().await.unwrap_or_default();
        let judging = Arc::clone(&self.judging).acquire_owned().await;
        let look = move || {
            let _judging = judging;
            let mut tables = AgentTables::clone(&known);
            views.iter().flatten().for_each(|(name, sql)| tables.add_view(name, sql));
            find(&texts, &among, &tables, Instant::now() + LOOKED_WITHIN)
        };
        tokio::task::spawn_blocking(look).await.map_err(|error| Error::Internal(Box::new(error)))
    }
}

fn find(texts: &[String], among: &[String], tables: &AgentTables, until: Instant) -> Vec<AlikeSql> {
    let wanted: Vec<BTreeSet<String>> =
        texts.iter().map(|sql| if Instant::now() < until { read_by(sql, tables) } else { BTreeSet::new() }).collect();
    let sets: BTreeSet<&BTreeSet<String>> = wanted.iter().filter(|tables| !tables.is_empty()).collect();
    let mut found: HashMap<&BTreeSet<String>, Vec<String>> = HashMap::new();
    for sql in among {
        if sets.is_empty() || Instant::now() > until {
            break;
        }
        // Cheap, and leaves few: SQLite takes a thousand times as long.
        let names = names_with_views(sql, tables);
        if sets.iter().any(|tables| tables.is_subset(&names)) {
            let read = read_by(sql, tables);
            if let Some(set) = sets.get(&read) {
                found.entry(*set).or_default().push(sql.clone());
            }
        }
    }
    let alike = |(sql, tables): (&String, &BTreeSet<String>)| {
        let others = found.get(tables).into_iter().flatten().filter(|other| *other != sql);
        AlikeSql { tables: tables.clone(), others: others.take(MAX_ALIKE).cloned().collect() }
    };
    texts.iter().zip(&wanted).map(alike).collect()
}

/// The tables that a text reads; none if SQLite cannot say it.
fn read_by(sql: &str, tables: &AgentTables) -> BTreeSet<String> {
    let Ok(Reads { tables, own_tables, unknown_tables, .. }) = reads(sql, tables) else { return BTreeSet::new() };
    tables.into_keys().chain(own_tables).chain(unknown_tables).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_alike_that_read_the_same_tables() {
        let mut tables = AgentTables::default();
        tables.add_view("logged_in", "SELECT * FROM users JOIN last USING (username)");
        let among = [
            "SELECT 1",
            "SELECT path FROM file WHERE path = '/tmp/a'",
            "SELECT * FROM hash JOIN file USING (path)",
            "SELECT count(*) FROM processes",
            "SELECT * FROM logged_in",
            "SELECT file FROM",
        ];
        let among: Vec<String> = among.map(str::to_owned).to_vec();
        let later = Instant::now() + Duration::from_secs(60);
        let others = |sql: &str| find(&[sql.to_owned()], &among, &tables, later).remove(0).others;
        assert_eq!(others("SELECT size FROM file WHERE directory = '/etc'"), among[1..2]);
        assert_eq!(others("WITH f AS (SELECT * FROM file) SELECT sha256 FROM f, hash"), among[2..3]);
        assert_eq!(others("SELECT 'file' FROM processes AS file"), among[3..4], "a name is no table");
        assert_eq!(others("SELECT username FROM logged_in"), among[4..5]);
        for without in [&*among[0], "SELECT 2", "SELECT file FROM", &*among[1], "SELECT * FROM users"] {
            assert_eq!(others(without), [""; 0], "{without}");
        }
        let late = find(&["SELECT size FROM file".to_owned()], &among, &tables, Instant::now());
        assert_eq!(late, [AlikeSql::default()]);
    }
}
