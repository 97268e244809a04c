//! The schema of the fleet, as operators see it.

use std::collections::{BTreeMap, HashMap};

use muster_api::rest::{FleetSchema, SchemaColumn, SchemaGroup, SchemaTable};

use super::agreed::{GroupSchema, ReportedColumn, ReportedTable};
use super::learnt::LearntSchema;
use super::{AgentGroup, AgentSchemas, AgentVersion};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::hosts::{TargetGroups, means_platform};
use crate::fleet::{Error, Result};
use crate::store;

/// Most labels and hosts in a filter.
const MAX_TARGETS: usize = 1_000;

/// Tables of a page at most, and if no page is given.
const MAX_TABLES: u64 = 1_000;

/// Hosts and tables that are looked at.
#[derive(Debug, Clone, Default)]
pub struct SchemaFilter {
    /// Any of these platforms, if there are any; `linux` is every distribution.
    pub platforms: Vec<String>,
    /// Only this version of osquery.
    pub osquery_version: Option<String>,
    /// Only hosts in any of these labels.
    pub label_ids: Vec<i64>,
    /// These hosts; with labels they come on top, as targets of live queries do.
    pub host_ids: Vec<i64>,
    /// Part of the name of a table, in any case.
    pub text: String,
    /// Only the table of this name, in any case.
    pub table: Option<String>,
    /// Leaves out the columns.
    pub names_only: bool,
    /// Also tables and columns that too few hosts have reported.
    pub with_unagreed: bool,
    /// Leaves out the first tables.
    pub offset: u64,
    pub limit: Option<u64>,
}

/// An agent group that the filter leaves.
struct ChosenGroup<'a> {
    group: &'a AgentGroup,
    hosts: u64,
    schema: Option<&'a GroupSchema>,
}

impl AgentSchemas {
    /// The tables and columns that agents have.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such label or host, [`Error::Invalid`] for too many of them, and
    /// [`Error::Forbidden`] to users who may not read queries, or the hosts and labels that the filter names.
    pub async fn of_fleet(&self, principal: &Principal, filter: &SchemaFilter) -> Result<FleetSchema> {
        principal.may(Permission::ReadQueries)?;
        let sizes = self.groups().await?;
        let chosen_sizes = self.chosen_sizes(principal, filter, &sizes).await?;
        let learnt = self.learnt(&sizes).await?;
        shown(filter, &chosen_sizes, &learnt)
    }

    /// The tables and columns that hosts of these groups have, or all hosts; without columns, if there are too many.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not read queries.
    pub async fn of_groups(&self, principal: &Principal, groups: Option<TargetGroups>) -> Result<FleetSchema> {
        principal.may(Permission::ReadQueries)?;
        let sizes = self.groups().await?;
        let learnt = self.learnt(&sizes).await?;
        let chosen = match groups {
            Some(groups) => self.hosts.group_sizes(groups).await?,
            None => sizes,
        };
        let filter = SchemaFilter::default();
        shown(&filter, &chosen, &learnt)
            .or_else(|_| shown(&SchemaFilter { names_only: true, ..filter }, &chosen, &learnt))
    }

    async fn chosen_sizes(
        &self,
        principal: &Principal,
        filter: &SchemaFilter,
        sizes: &BTreeMap<AgentGroup, u64>,
    ) -> Result<BTreeMap<AgentGroup, u64>> {
        let is_meant = |platform: &str| {
            filter.platforms.is_empty() || filter.platforms.iter().any(|word| means_platform(word, platform))
        };
        let mut chosen = sizes.clone();
        if !filter.label_ids.is_empty() || !filter.host_ids.is_empty() {
            chosen = self.hosts.group_sizes(self.targets(principal, filter).await?).await?;
        } else {
            chosen.retain(|group, _| is_meant(&group.platform));
        }
        if let Some(version) = &filter.osquery_version {
            let version = AgentVersion::of(version);
            chosen.retain(|group, _| group.version == version);
        }
        Ok(chosen)
    }

    async fn targets(&self, principal: &Principal, filter: &SchemaFilter) -> Result<TargetGroups> {
        let SchemaFilter { label_ids, host_ids, .. } = filter;
        for (name, ids) in [("label_id", label_ids), ("host_id", host_ids)] {
            if ids.len() > MAX_TARGETS {
                return Err(Error::invalid(name, format!("names more than {MAX_TARGETS}")));
            }
        }
        let mut label_lists = Vec::new();
        if !label_ids.is_empty() {
            principal.may(Permission::ReadLabels)?;
            let known = store::labels::by_ids(self.store.reader(), label_ids).await?;
            if let Some(id) = label_ids.iter().find(|id| !known.iter().any(|label| label.id == **id)) {
                return Err(Error::NotFound { kind: "Label", key: id.to_string() });
            }
            label_lists.push(label_ids.clone());
        }
        if !host_ids.is_empty() {
            principal.may(Permission::ReadHosts)?;
            if let Some(id) = self.hosts.bring_in(host_ids.iter().copied().collect()).await?.first() {
                return Err(Error::NotFound { kind: "Host", key: id.to_string() });
            }
        }
        let hosts = host_ids.iter().copied().collect();
        Ok(TargetGroups { label_lists, platforms: filter.platforms.clone(), hosts, ..TargetGroups::default() })
    }
}

/// Most columns times agent groups that have their table in one answer. A stock fleet has some ten thousand for each group.
const MAX_CELLS: usize = 4_000_000;

fn shown(filter: &SchemaFilter, sizes: &BTreeMap<AgentGroup, u64>, learnt: &LearntSchema) -> Result<FleetSchema> {
    let mut groups: Vec<ChosenGroup<'_>> =
        sizes.iter().map(|(group, hosts)| ChosenGroup { group, hosts: *hosts, schema: learnt.get(group) }).collect();
    groups.sort_by(|one, other| other.hosts.cmp(&one.hosts).then_with(|| one.group.cmp(other.group)));
    let (text, table) = (filter.text.to_lowercase(), filter.table.as_ref().map(|name| name.to_lowercase()));
    let is_wanted = |name: &str, reported: &ReportedTable| {
        (reported.is_agreed || filter.with_unagreed)
            && table.as_ref().map_or(name.contains(&text), |table| name == table)
    };
    let mut having: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (position, group) in groups.iter().enumerate() {
        let tables = group.schema.into_iter().flat_map(|schema| &schema.tables);
        for (name, _) in tables.filter(|(name, reported)| is_wanted(name, reported)) {
            having.entry(name).or_default().push(position);
        }
    }
    let (offset, limit) = (filter.offset, filter.limit.unwrap_or(MAX_TABLES).min(MAX_TABLES));
    let page: Vec<(&&str, &Vec<usize>)> = having
        .iter()
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .collect();
    let columns_of = |name: &str, position: &usize| {
        groups[*position].schema.and_then(|schema| schema.tables.get(name)).map_or(0, |table| table.columns.len())
    };
    let cells = |(name, positions): &(&&str, &Vec<usize>)| {
        positions.iter().map(|position| columns_of(name, position)).sum::<usize>() * positions.len()
    };
    if !filter.names_only && page.iter().map(cells).sum::<usize>() > MAX_CELLS {
        let reason = "these tables have too many columns in too many versions and platforms for one answer: ask for fewer \
                      tables, for some platform or version, or for names_only";
        return Err(Error::invalid("per_page", reason));
    }
    let tables = page.into_iter().map(|(name, positions)| table_shown(filter, name, positions, &groups)).collect();
    let count = having.len() as u64;
    Ok(FleetSchema { groups: groups.iter().map(group_shown).collect(), tables, count })
}

fn group_shown(chosen: &ChosenGroup<'_>) -> SchemaGroup {
    SchemaGroup {
        platform: chosen.group.platform.clone(),
        osquery_version: chosen.group.version.to_string(),
        hosts: chosen.hosts,
        reports: chosen.schema.map_or(0, |schema| schema.reports),
        last_report_at: chosen.schema.and_then(|schema| schema.last_report_at).map(|moment| moment.to_utc()),
    }
}

/// A table that the groups at these positions have.
fn table_shown(filter: &SchemaFilter, name: &str, positions: &[usize], groups: &[ChosenGroup<'_>]) -> SchemaTable {
    let in_group = |position: &usize| {
        let schema = groups.get(*position)?.schema?;
        Some((*position, schema.reports, schema.tables.get(name)?))
    };
    let reported: Vec<(usize, u64, &ReportedTable)> = positions.iter().filter_map(in_group).collect();
    let is_known = |(_, group): &(usize, &ChosenGroup<'_>)| group.schema.is_some_and(|schema| schema.reports > 0);
    let known = groups.iter().enumerate().filter(is_known).map(|(position, _)| position);
    SchemaTable {
        name: name.to_owned(),
        agreed: reported.iter().any(|(_, _, table)| table.is_agreed),
        on_some_hosts: reported.iter().any(|(_, of, table)| table.reports < *of),
        reports: reported.iter().map(|(_, _, table)| table.reports).sum(),
        reports_of: reported.iter().map(|(_, of, _)| of).sum(),
        groups: positions.to_vec(),
        lacking_groups: known.filter(|position| positions.binary_search(position).is_err()).collect(),
        columns: if filter.names_only { Vec::new() } else { columns_shown(filter, &reported) },
    }
}

fn columns_shown(filter: &SchemaFilter, reported: &[(usize, u64, &ReportedTable)]) -> Vec<SchemaColumn> {
    let mut columns: Vec<SchemaColumn> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let is_wanted = |column: &&ReportedColumn| column.is_agreed || filter.with_unagreed;
    for (_, _, table) in reported {
        for column in table.columns.iter().filter(is_wanted) {
            let position = *positions.entry(&column.name).or_insert_with(|| {
                columns.push(SchemaColumn {
                    name: column.name.clone(),
                    kind: column.kind.word().to_owned(),
                    hidden: column.is_hidden,
                    on_some_hosts: false,
                    lacking_groups: Vec::new(),
                });
                columns.len() - 1
            });
            columns[position].on_some_hosts |= column.reports < table.reports;
        }
    }
    for (group, _, table) in reported {
        let mut is_there = vec![false; columns.len()];
        table.columns.iter().filter(is_wanted).for_each(|column| is_there[positions[&*column.name]] = true);
        let lacking = columns.iter_mut().zip(is_there).filter(|(_, is_there)| !is_there);
        lacking.for_each(|(column, _)| column.lacking_groups.push(*group));
    }
    columns
}
