//! What hosts lack of what SQL names.
//!
//! A host has a table if most of the hosts of its agent group that have reported have it; a group of which fewer than two hosts have
//! reported counts as not known. So one host decides nothing, neither by what it says nor by what it leaves out.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_sql::{AgentColumn, AgentTables, FleetLack, GroupTables, LackedName, lacking, names_with_views};
use roaring::RoaringTreemap;

use super::agreed::{GroupSchema, ReportedTable};
use super::learnt::LearntSchema;
use super::{AgentGroup, AgentSchemas};
use crate::config::SchemaCheck;
use crate::fleet::Result;
use crate::fleet::hosts::TargetGroups;

/// Least reports of a group that is known.
const KNOWN_FROM: u64 = 2;

/// Most groups that are named in a finding.
const NAMED: usize = 4;

/// What agent groups have reported, and how many hosts are in them.
#[derive(Debug)]
pub(in crate::fleet) struct FleetTables {
    schema: Arc<LearntSchema>,
    sizes: BTreeMap<AgentGroup, u64>,
}

/// Something that SQL names and hosts lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) struct LackedPart {
    /// Whether none of the hosts that are known has it.
    pub is_nowhere: bool,
    pub text: String,
}

/// Most hosts of which is told apart what they have; of more, all hosts are looked at.
const MOST_HOSTS: u64 = 10_000;

impl AgentSchemas {
    /// Whether SQL is checked by what hosts have.
    pub(in crate::fleet) fn check(&self) -> SchemaCheck {
        if self.interval.is_zero() { SchemaCheck::Off } else { self.check }
    }

    /// What these hosts have, or all hosts. `None` if nobody knows anything of them.
    ///
    /// # Errors
    /// When the database does not answer, or while hosts are still being read.
    pub(in crate::fleet) async fn fleet_tables(&self, hosts: Option<&RoaringTreemap>) -> Result<Option<FleetTables>> {
        let all = self.groups().await?;
        let schema = self.learnt(&all).await?;
        let sizes = match hosts.filter(|hosts| hosts.len() <= MOST_HOSTS) {
            Some(hosts) => {
                let hosts = hosts.iter().map(u64::cast_signed).collect();
                self.hosts.group_sizes(TargetGroups { hosts, ..TargetGroups::default() }).await?
            }
            None => all,
        };
        let is_known = |group: &AgentGroup| schema.get(group).is_some_and(|schema| schema.reports >= KNOWN_FROM);
        let is_any_known = sizes.keys().any(is_known);
        Ok(is_any_known.then_some(FleetTables { schema, sizes }))
    }
}

impl FleetTables {
    /// What hosts lack of what `sql` names, when they have these views. Takes some milliseconds for each different set of tables.
    pub fn lacks(&self, sql: &str, with_views: &AgentTables) -> Vec<LackedPart> {
        let names = names_with_views(sql, with_views);
        let tables: Vec<Option<AgentTables>> = self
            .sizes
            .keys()
            .map(|group| {
                let known = self.schema.get(group).filter(|schema| schema.reports >= KNOWN_FROM)?;
                let mut tables = with_views.clone();
                let named = names.iter().filter_map(|name| Some((name, known.tables.get(name)?)));
                named.for_each(|(name, table)| add(&mut tables, name, table, known));
                Some(tables)
            })
            .collect();
        let groups: Vec<(String, &str, u64)> =
            self.sizes.iter().map(|(group, hosts)| (group.version.to_string(), &*group.platform, *hosts)).collect();
        let groups: Vec<GroupTables<'_>> = groups
            .iter()
            .zip(&tables)
            .map(|((version, platform, hosts), tables)| GroupTables {
                platform,
                version,
                hosts: *hosts,
                tables: tables.as_ref(),
            })
            .collect();
        // What SQLite cannot tell is said elsewhere.
        let FleetLack { names, .. } = lacking(sql, &groups).unwrap_or_default();
        let known: u64 = groups.iter().filter(|group| group.tables.is_some()).map(|group| group.hosts).sum();
        names
            .iter()
            .map(|name| LackedPart { is_nowhere: name.is_nowhere, text: text_of(name, &groups, known) })
            .collect()
    }
}

fn add(tables: &mut AgentTables, name: &str, table: &ReportedTable, group: &GroupSchema) {
    if table.reports * 2 < group.reports {
        return;
    }
    let columns = table.columns.iter().filter(|column| column.reports * 2 >= table.reports);
    tables.add_table(name, columns.map(|column| AgentColumn::new(&column.name, column.kind.word(), column.is_hidden)));
}

fn text_of(name: &LackedName, groups: &[GroupTables<'_>], known: u64) -> String {
    let tables = name.tables.iter().cloned().collect::<Vec<_>>().join(" or ");
    let what = match &name.column {
        Some(column) => format!("the column {column} of {tables}"),
        None => format!("the table {tables}"),
    };
    let hint = name.flags.map(|flags| format!("; osquery has it with {flags}")).unwrap_or_default();
    if name.is_nowhere {
        return format!("names {what}, which none of the hosts has that are known{hint}");
    }
    let mut largest: Vec<&GroupTables<'_>> = name.groups.iter().filter_map(|at| groups.get(*at)).collect();
    largest.sort_by_key(|group| std::cmp::Reverse(group.hosts));
    let more = largest.len().saturating_sub(NAMED);
    let named: Vec<String> =
        largest.iter().take(NAMED).map(|group| format!("{} {}", group.platform, group.version)).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (hosts, named) = (name.hosts, named.join(", "));
    format!("names {what}, which {hosts} of {known} hosts lack ({named}{more}){hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::schema::agreed::ReportedColumn;
    use crate::fleet::schema::table_set::ColumnType;

    fn table(reports: u64, columns: &[(&str, u64)]) -> ReportedTable {
        let column = |(name, reports): &(&str, u64)| ReportedColumn {
            name: (*name).to_owned(),
            kind: ColumnType::Text,
            is_hidden: false,
            reports: *reports,
            is_agreed: true,
        };
        ReportedTable { reports, is_agreed: true, columns: columns.iter().map(column).collect() }
    }

    /// The platform, hosts and reports of a group, and what they say.
    type Group<'a> = (&'a str, u64, u64, &'a [(&'a str, ReportedTable)]);

    fn fleet(groups: &[Group<'_>]) -> FleetTables {
        let group = |platform: &str| AgentGroup::of(platform, "5.12.0").unwrap();
        let (mut schema, mut sizes) = (LearntSchema::default(), BTreeMap::new());
        for (platform, hosts, reports, tables) in groups {
            let tables = tables.iter().map(|(name, table)| ((*name).to_owned(), table.clone())).collect();
            schema.insert(group(platform), GroupSchema { reports: *reports, last_report_at: None, tables });
            sizes.insert(group(platform), *hosts);
        }
        FleetTables { schema: Arc::new(schema), sizes }
    }

    fn said(fleet: &FleetTables, sql: &str) -> Vec<String> {
        fleet.lacks(sql, &AgentTables::default()).into_iter().map(|lack| lack.text).collect()
    }

    #[test]
    fn one_host_decides_nothing() {
        let users = || ("users", table(3, &[("uid", 3), ("evil", 1)]));
        let fleet = fleet(&[
            ("ubuntu", 900, 3, &[users(), ("made_up", table(1, &[("a", 1)]))]),
            // One of three has left it out, and of the last group one alone has reported.
            ("darwin", 50, 3, &[("users", table(2, &[("uid", 2)])), ("launchd", table(3, &[("label", 3)]))]),
            ("windows", 7, 1, &[("registry", table(1, &[("key", 1)]))]),
        ]);
        assert_eq!(said(&fleet, "SELECT uid FROM users"), [""; 0]);
        let nowhere = "which none of the hosts has that are known";
        assert_eq!(said(&fleet, "SELECT a FROM made_up"), [format!("names the table made_up, {nowhere}")]);
        assert_eq!(said(&fleet, "SELECT key FROM registry"), [format!("names the table registry, {nowhere}")]);
        assert_eq!(said(&fleet, "SELECT evil FROM users"), [format!("names the column evil of users, {nowhere}")]);
        assert_eq!(
            said(&fleet, "SELECT label FROM launchd"),
            ["names the table launchd, which 900 of 950 hosts lack (ubuntu 5.12.0)"]
        );
        assert_eq!(
            said(&fleet, "SELECT pid FROM process_events"),
            [format!("names the table process_events, {nowhere}; osquery has it with --disable_audit=false")]
        );
        assert_eq!(said(&fleet, "SELECT FROM"), [""; 0]);
    }
}
