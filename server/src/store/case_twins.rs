use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, Statement};

use super::Result;
use super::case::fold;

/// Most groups of a table that are told of.
const MAX_TWINS: usize = 100;

/// Hosts whose identifiers, and labels, queries and packs whose names, differ in capitals alone, as older versions took them for different
/// ones. Says of each group what there is and what to do. Both stay as they are until the operator decides.
pub async fn case_twins(db: &impl ConnectionTrait) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (table, column, remedy) in [
        ("hosts", "identifier", "delete the one that is not seen any more"),
        ("labels", "name", "rename or delete one of them"),
        ("queries", "name", "rename or delete one of them"),
        ("packs", "name", "rename or delete one of them"),
    ] {
        let of = |row: &sea_orm::QueryResult| -> Result<(i64, String)> {
            Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
        };
        let folded = if table == "hosts" { "identifier_fold" } else { "LOWER(name)" };
        let sql = format!(
            "SELECT id, {column} FROM {table} WHERE {folded} IN \
             (SELECT twin FROM (SELECT {folded} AS twin FROM {table} GROUP BY {folded} HAVING count(*) > 1 \
             LIMIT {MAX_TWINS}) AS twins) ORDER BY id"
        );
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
        let mut groups: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for row in &rows {
            let (id, name) = of(row)?;
            groups.entry(fold(&name)).or_default().push((id, name));
        }
        for twins in groups.into_values().filter(|twins| twins.len() > 1) {
            let twins: Vec<String> = twins.iter().map(|(id, name)| format!("{name:?} (id {id})")).collect();
            found.push(format!("{table} differ in capitals alone: {}; {remedy}", twins.join(", ")));
        }
    }
    Ok(found)
}
