use anyhow::bail;
use muster_api::rest::{FleetSchema, SchemaGroup, SchemaTable};

use super::SchemaArgs;
use crate::commands::labels;
use crate::rest::{RestClient, segment};
use crate::{output, table};

/// Tables that are read at one time.
const PAGE: usize = 1_000;

/// Groups that a column names.
const NAMED: usize = 3;

/// Prints the tables that agents have, or the columns of one.
pub async fn schema(server: &RestClient, args: SchemaArgs) -> anyhow::Result<()> {
    let found = read(server, &args).await?;
    if args.format.printed(std::slice::from_ref(&found))? {
        return Ok(());
    }
    let Some(name) = &args.table else { return list(&found) };
    match found.tables.first() {
        Some(table) => output::data(&columns(table, &found.groups)),
        None if found.groups.iter().all(|group| group.reports == 0) => nothing_known(),
        None => bail!("no host is known to have a table {name:?}; list tables with: fleetctl get schema"),
    }
}

async fn read(server: &RestClient, args: &SchemaArgs) -> anyhow::Result<FleetSchema> {
    let mut path = format!("schema?per_page={PAGE}");
    let mut add = |name: &str, value: &str| path.push_str(&format!("&{name}={}", segment(value)));
    if !args.platform.is_empty() {
        add("platform", &args.platform.join(","));
    }
    if let Some(version) = &args.osquery_version {
        add("osquery_version", version);
    }
    if let Some(label) = &args.label {
        add("label_id", &labels::id_of(server, label).await?.to_string());
    }
    if let Some(table) = &args.table {
        add("table", table);
    }
    if args.unagreed {
        add("unagreed", "true");
    }
    let mut found: FleetSchema = server.get(&path).await?;
    for page in 1.. {
        if found.tables.len() < page * PAGE {
            break;
        }
        let next: FleetSchema = server.get(&format!("{path}&page={page}")).await?;
        if next.tables.is_empty() {
            break;
        }
        found.tables.extend(next.tables);
    }
    Ok(found)
}

fn nothing_known() -> anyhow::Result<()> {
    output::note(
        "No tables known yet: a few hosts of each platform and version are asked some minutes after they enroll",
    );
    Ok(())
}

fn list(found: &FleetSchema) -> anyhow::Result<()> {
    if found.tables.is_empty() {
        return nothing_known();
    }
    let rows = found.tables.iter().map(|table| {
        vec![table.name.clone(), table.columns.len().to_string(), platforms(table, &found.groups), mark(table)]
    });
    output::data(&table::grid(&["table", "columns", "platforms", "on"], rows))
}

/// The platforms of the groups that have a table.
fn platforms(table: &SchemaTable, groups: &[SchemaGroup]) -> String {
    let having = table.groups.iter().filter_map(|position| groups.get(*position));
    let mut names: Vec<&str> = having.map(|group| group.platform.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

fn mark(table: &SchemaTable) -> String {
    match (table.agreed, table.on_some_hosts) {
        (false, _) => format!("{} of {} hosts that were asked, too few", table.reports, table.reports_of),
        (true, true) => format!("{} of {} hosts that were asked", table.reports, table.reports_of),
        (true, false) => "all hosts".to_owned(),
    }
}

fn columns(table: &SchemaTable, groups: &[SchemaGroup]) -> String {
    let mut text = format!("{}, on {} ({})\n", table.name, platforms(table, groups), mark(table));
    if !table.lacking_groups.is_empty() {
        text.push_str(&format!("not on {}\n", named(&table.lacking_groups, groups)));
    }
    // No host of these has been asked, or answered.
    let unknown: Vec<usize> = (0..groups.len()).filter(|position| groups[*position].reports == 0).collect();
    if !unknown.is_empty() {
        text.push_str(&format!("not known yet on {}\n", named(&unknown, groups)));
    }
    text.push('\n');
    let rows = table.columns.iter().map(|column| {
        let notes = [
            column.hidden.then(|| "hidden".to_owned()),
            column.on_some_hosts.then(|| "on some hosts".to_owned()),
            (!column.lacking_groups.is_empty()).then(|| format!("not on {}", named(&column.lacking_groups, groups))),
        ];
        vec![column.name.clone(), column.kind.clone(), notes.into_iter().flatten().collect::<Vec<_>>().join("; ")]
    });
    text.push_str(&table::grid(&["column", "type", "notes"], rows));
    text
}

/// Groups by platform, version and number of hosts.
fn named(positions: &[usize], groups: &[SchemaGroup]) -> String {
    let name = |group: &SchemaGroup| format!("{} {} ({} hosts)", group.platform, group.osquery_version, group.hosts);
    let mut names: Vec<String> =
        positions.iter().take(NAMED).filter_map(|position| groups.get(*position)).map(name).collect();
    if positions.len() > NAMED {
        names.push(format!("{} more", positions.len() - NAMED));
    }
    names.join(", ")
}
