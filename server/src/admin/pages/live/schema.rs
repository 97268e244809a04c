//! Completion in the editor: the tables and columns of the hosts that a form chooses.

use std::collections::BTreeSet;

use actix_web::web::Data;
use muster_api::rest::{FleetSchema, LiveTargets, SchemaColumn, SchemaTable};
use serde::Serialize;

use super::ask::{AskForm, MAX_COUNTED, named};
use crate::admin::AdminApi;
use crate::admin::pages::answer::PageAnswer;
use crate::admin::pages::visit::{Glance, Visit};
use crate::fleet::{Error, Fleet, Result};

/// Most columns that are completed. A stock fleet of all platforms has some 4,000.
const MAX_COLUMNS: usize = 20_000;

/// Most platforms that are named.
const MAX_PLATFORMS: usize = 3;

/// Words that the editor completes.
#[derive(Debug, Serialize)]
struct Completions {
    tables: Vec<TableCompletion>,
}

#[derive(Debug, Serialize)]
struct TableCompletion {
    name: String,
    /// Hosts that alone have the table, in a word; empty if all have it.
    #[serde(skip_serializing_if = "String::is_empty")]
    about: String,
    columns: Vec<ColumnCompletion>,
}

#[derive(Debug, Serialize)]
struct ColumnCompletion {
    name: String,
    /// Its type, whether `SELECT *` leaves it out, and whether some hosts lack it.
    about: String,
}

/// The tables and columns of the hosts that are chosen in the address; of all hosts if none is, if they are too many to name, if
/// nobody knows one of them, or if nothing is known of the tables of these.
pub(in crate::admin::pages) async fn schema(api: Data<AdminApi>, Glance(visit): Glance) -> PageAnswer {
    api.json(visit, |fleet, visit| async move {
        let targets = AskForm::chosen(&visit).targets();
        let mut schema = of_targets(&fleet, &visit, &targets).await?;
        if schema.tables.is_empty() && targets != LiveTargets::default() {
            schema = of_targets(&fleet, &visit, &LiveTargets::default()).await?;
        }
        Ok(Completions::of(schema))
    })
    .await
}

async fn of_targets(fleet: &Fleet, visit: &Visit, targets: &LiveTargets) -> Result<FleetSchema> {
    let by = &visit.principal;
    let chooses = !targets.all && (1..=MAX_COUNTED).contains(&named(targets));
    let groups = if chooses { fleet.live.target_groups(by, targets).await.map(Some) } else { Ok(None) };
    match groups {
        Ok(groups) => fleet.schemas.of_groups(by, groups).await,
        // A name is half typed.
        Err(Error::Invalid(_)) => fleet.schemas.of_groups(by, None).await,
        Err(error) => Err(error),
    }
}

impl Completions {
    fn of(schema: FleetSchema) -> Self {
        let FleetSchema { groups, tables, .. } = schema;
        let platform = |group: &usize| groups.get(*group).map(|group| group.platform.as_str());
        let platforms = |positions: &[usize]| positions.iter().filter_map(platform).collect::<BTreeSet<_>>();
        let mut room = MAX_COLUMNS;
        let table = |SchemaTable { name, columns, groups, lacking_groups, on_some_hosts, .. }| {
            let about = had_by(&platforms(&groups), &platforms(&lacking_groups), on_some_hosts);
            let columns: Vec<ColumnCompletion> = columns.into_iter().take(room).map(ColumnCompletion::of).collect();
            room -= columns.len();
            TableCompletion { name, about, columns }
        };
        Self { tables: tables.into_iter().map(table).collect() }
    }
}

impl ColumnCompletion {
    fn of(column: SchemaColumn) -> Self {
        let is_rare = column.on_some_hosts || !column.lacking_groups.is_empty();
        let kind = column.kind.to_lowercase();
        let parts = [kind.as_str(), if column.hidden { "hidden" } else { "" }, if is_rare { "some hosts" } else { "" }];
        let about = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        Self { name: column.name, about }
    }
}

/// Hosts that have a table, in a word; empty if all do.
fn had_by(having: &BTreeSet<&str>, lacking: &BTreeSet<&str>, on_some_hosts: bool) -> String {
    let names = |platforms: &BTreeSet<&str>| platforms.iter().copied().collect::<Vec<_>>().join(", ");
    if on_some_hosts {
        "some hosts".to_owned()
    } else if lacking.is_empty() {
        String::new()
    } else if !having.is_disjoint(lacking) {
        "some versions".to_owned()
    } else if having.len() <= MAX_PLATFORMS {
        format!("only {}", names(having))
    } else if lacking.len() <= MAX_PLATFORMS {
        format!("not {}", names(lacking))
    } else {
        "some platforms".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use muster_api::rest::SchemaGroup;
    use serde_json::json;

    use super::*;

    fn column(name: &str) -> SchemaColumn {
        SchemaColumn {
            name: name.to_owned(),
            kind: "BIGINT".to_owned(),
            hidden: false,
            on_some_hosts: false,
            lacking_groups: Vec::new(),
        }
    }

    fn table(name: &str, columns: Vec<SchemaColumn>, having: &[usize], lacking: &[usize]) -> SchemaTable {
        SchemaTable {
            name: name.to_owned(),
            agreed: true,
            on_some_hosts: false,
            reports: 5,
            reports_of: 5,
            groups: having.to_vec(),
            lacking_groups: lacking.to_vec(),
            columns,
        }
    }

    fn schema(platforms: &[&str], tables: Vec<SchemaTable>) -> FleetSchema {
        let group = |platform: &&str| SchemaGroup {
            platform: (*platform).to_owned(),
            osquery_version: "5.23.1".to_owned(),
            hosts: 1,
            reports: 1,
            last_report_at: None,
        };
        FleetSchema { groups: platforms.iter().map(group).collect(), count: tables.len() as u64, tables }
    }

    #[test]
    fn completions_say_which_hosts_have_what() {
        let platforms = ["debian", "debian", "windows", "darwin", "rhel", "arch", "<b>\"evil\u{202e}"];
        let mut rare = column("b");
        (rare.hidden, rare.lacking_groups) = (true, vec![1]);
        let tables = vec![
            table("users", vec![column("a"), rare], &[0, 1, 2, 3, 4, 5, 6], &[]),
            table("registry", vec![], &[2], &[0, 1, 3, 4, 5, 6]),
            table("new", vec![], &[0, 2], &[1, 3]),
            table("most", vec![], &[0, 1, 3, 4, 5], &[2]),
            SchemaTable { on_some_hosts: true, ..table("atc", vec![], &[0], &[]) },
            table("odd", vec![], &[6], &[0]),
        ];
        let written = serde_json::to_string(&Completions::of(schema(&platforms, tables))).unwrap();
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(
            read,
            json!({ "tables": [
                { "name": "users", "columns": [
                    { "name": "a", "about": "bigint" }, { "name": "b", "about": "bigint, hidden, some hosts" },
                ] },
                { "name": "registry", "about": "only windows", "columns": [] },
                { "name": "new", "about": "some versions", "columns": [] },
                { "name": "most", "about": "not windows", "columns": [] },
                { "name": "atc", "about": "some hosts", "columns": [] },
                { "name": "odd", "about": "only <b>\"evil\u{202e}", "columns": [] },
            ] })
        );
    }

    #[test]
    fn columns_are_bounded() {
        let columns = |table: usize| (0..200).map(|number| column(&format!("c{table}_{number}"))).collect();
        let tables = (0..1_000).map(|number| table(&format!("t{number}"), columns(number), &[0], &[])).collect();
        let completions = Completions::of(schema(&["debian"], tables));
        assert_eq!(completions.tables.len(), 1_000);
        assert_eq!(completions.tables.iter().map(|table| table.columns.len()).sum::<usize>(), MAX_COLUMNS);
    }
}
