//! What counts of what hosts have reported.
//!
//! An attacker with one host can have it report anything, and can choose its platform and version too. So a table or column
//! counts in an agent group if [`AGREE`] addresses have reported it, or as many as the group has hosts; and if two addresses
//! have reported it on its platform, whatever the version. Several hosts behind one address count as one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::AgentGroup;
use super::table_set::{ColumnType, TableColumn, TableSet};
use crate::clock::Moment;

/// Addresses whose reports agree when a table counts. Two may belong to one person, and a fleet is asked for three without a
/// cost.
const AGREE: u64 = 3;

/// A host's report.
#[derive(Debug, Clone)]
pub(super) struct HeldReport {
    pub address: String,
    pub reported_at: Moment,
    pub tables: Arc<TableSet>,
}

/// What hosts of an agent group have reported.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupSchema {
    pub reports: u64,
    pub last_report_at: Option<Moment>,
    pub tables: BTreeMap<String, ReportedTable>,
}

/// A table that any host of the group has reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ReportedTable {
    pub reports: u64,
    pub is_agreed: bool,
    /// In the order of the agent.
    pub columns: Vec<ReportedColumn>,
}

/// A column that any host of the group has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportedColumn {
    pub name: String,
    /// What most hosts say.
    pub kind: ColumnType,
    pub is_hidden: bool,
    pub reports: u64,
    pub is_agreed: bool,
}

/// The table and column of a name; no column stands for the table itself.
type TablePart<'a> = (&'a str, &'a str);

/// What has been reported on a platform, and by which address; `None` by several.
type SaidOnPlatform<'a> = HashMap<TablePart<'a>, Option<&'a str>>;

/// What counts in each agent group. `sizes` are the numbers of its hosts.
pub(super) fn agreed(
    reports: &BTreeMap<AgentGroup, Vec<HeldReport>>,
    sizes: &BTreeMap<AgentGroup, u64>,
) -> BTreeMap<AgentGroup, GroupSchema> {
    let mut platforms: HashMap<&str, SaidOnPlatform<'_>> = HashMap::new();
    for (group, reports) in reports {
        let said = platforms.entry(&group.platform).or_default();
        for (tables, addresses) in by_set(reports) {
            note(said, tables, &addresses);
        }
    }
    let of_group = |(group, reports): (&AgentGroup, &Vec<HeldReport>)| {
        let needed = sizes.get(group).copied().unwrap_or(AGREE).clamp(1, AGREE);
        let schema = platforms.get(&*group.platform).map(|said| group_schema(reports, needed, said));
        (group.clone(), schema.unwrap_or_default())
    };
    reports.iter().map(of_group).collect()
}

/// The different sets of tables, each with the addresses of the hosts that have reported it, one for each host.
fn by_set(reports: &[HeldReport]) -> Vec<(&TableSet, Vec<&str>)> {
    let mut sets: Vec<(&TableSet, Vec<&str>)> = Vec::new();
    for report in reports {
        match sets.iter_mut().find(|(known, _)| std::ptr::eq(*known, &*report.tables)) {
            Some((_, addresses)) => addresses.push(&report.address),
            None => sets.push((&report.tables, vec![&report.address])),
        }
    }
    sets
}

fn note<'a>(said: &mut SaidOnPlatform<'a>, tables: &'a TableSet, addresses: &[&'a str]) {
    let Some((first, others)) = addresses.split_first() else { return };
    let by = others.iter().all(|other| other == first).then_some(*first);
    for (table, columns) in &tables.0 {
        let parts = columns.iter().map(|column| (table.as_str(), column.name.as_str()));
        for part in parts.chain([(table.as_str(), "")]) {
            said.entry(part).and_modify(|known| *known = known.filter(|known| Some(*known) == by)).or_insert(by);
        }
    }
}

/// Hosts and addresses that have reported something.
#[derive(Debug, Default)]
struct Votes<'a> {
    hosts: u64,
    addresses: BTreeSet<&'a str>,
}

impl<'a> Votes<'a> {
    fn add(&mut self, addresses: &[&'a str]) {
        self.hosts += addresses.len() as u64;
        self.addresses.extend(addresses);
    }
}

#[derive(Debug, Default)]
struct ColumnVotes<'a> {
    votes: Votes<'a>,
    /// Hosts by what they say of it.
    kinds: BTreeMap<(ColumnType, bool), u64>,
}

#[derive(Debug, Default)]
struct TableVotes<'a> {
    votes: Votes<'a>,
    /// Names of columns in the order of the agents.
    order: Vec<&'a str>,
    columns: HashMap<&'a str, ColumnVotes<'a>>,
}

impl<'a> TableVotes<'a> {
    fn add(&mut self, columns: &'a [TableColumn], addresses: &[&'a str]) {
        self.votes.add(addresses);
        for column in columns {
            let known = self.columns.entry(&column.name).or_insert_with(|| {
                self.order.push(&column.name);
                ColumnVotes::default()
            });
            known.votes.add(addresses);
            *known.kinds.entry((column.kind, column.is_hidden)).or_default() += addresses.len() as u64;
        }
    }
}

fn group_schema(reports: &[HeldReport], needed: u64, said: &SaidOnPlatform<'_>) -> GroupSchema {
    let mut tables: BTreeMap<&str, TableVotes<'_>> = BTreeMap::new();
    let mut sets = by_set(reports);
    // The order of the columns is that of most hosts.
    sets.sort_by_key(|(_, addresses)| std::cmp::Reverse(addresses.len()));
    for (set, addresses) in sets {
        set.0.iter().for_each(|(name, columns)| tables.entry(name).or_default().add(columns, &addresses));
    }
    let is_agreed = |votes: &Votes<'_>, part: TablePart<'_>| {
        votes.addresses.len() as u64 >= needed && said.get(&part).is_some_and(Option::is_none)
    };
    let table = |(name, mut table): (&str, TableVotes<'_>)| {
        let column = |column: &str| {
            let ColumnVotes { votes, kinds } = table.columns.remove(column)?;
            let (kind, is_hidden) = kinds.into_iter().max_by_key(|(_, hosts)| *hosts)?.0;
            let is_agreed = is_agreed(&votes, (name, column));
            Some(ReportedColumn { name: column.to_owned(), kind, is_hidden, reports: votes.hosts, is_agreed })
        };
        let columns = table.order.into_iter().filter_map(column).collect();
        let is_agreed = is_agreed(&table.votes, (name, ""));
        (name.to_owned(), ReportedTable { reports: table.votes.hosts, is_agreed, columns })
    };
    GroupSchema {
        reports: reports.len() as u64,
        last_report_at: reports.iter().map(|report| report.reported_at).max(),
        tables: tables.into_iter().map(table).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(tables: &[(&str, &[&str])]) -> Arc<TableSet> {
        let column = |name: &&str| TableColumn { name: (*name).to_owned(), kind: ColumnType::Text, is_hidden: false };
        let table = |(name, columns): &(&str, &[&str])| ((*name).to_owned(), columns.iter().map(column).collect());
        Arc::new(TableSet(tables.iter().map(table).collect()))
    }

    fn report(address: &str, tables: &Arc<TableSet>) -> HeldReport {
        HeldReport { address: address.to_owned(), reported_at: Moment(1), tables: Arc::clone(tables) }
    }

    fn group(version: &str) -> AgentGroup {
        AgentGroup::of("ubuntu", version).unwrap()
    }

    /// The names that count in the first group, columns behind their table.
    fn counting(groups: &[(&str, u64, Vec<HeldReport>)]) -> Vec<String> {
        let reports = groups.iter().map(|(version, _, reports)| (group(version), reports.clone())).collect();
        let sizes = groups.iter().map(|(version, hosts, _)| (group(version), *hosts)).collect();
        let schema = agreed(&reports, &sizes).remove(&group(groups[0].0)).unwrap();
        let mut names = Vec::new();
        for (name, table) in schema.tables.iter().filter(|(_, table)| table.is_agreed) {
            names.push(name.clone());
            let columns = table.columns.iter().filter(|column| column.is_agreed);
            names.extend(columns.map(|column| format!("{name}.{}", column.name)));
        }
        names
    }

    #[test]
    fn three_addresses_decide_and_fewer_do_not() {
        let (stock, lie) = (set(&[("users", &["uid"])]), set(&[("users", &["uid", "evil"]), ("made_up", &["a"])]));
        let honest = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|address| report(address, &stock));
        assert_eq!(counting(&[("5.1.0", 900, honest.to_vec())]), ["users", "users.uid"]);
        assert_eq!(counting(&[("5.1.0", 900, honest[..2].to_vec())]), [""; 0]);
        let mut with_liars = honest.to_vec();
        with_liars.extend(["192.0.2.8", "192.0.2.9"].map(|address| report(address, &lie)));
        assert_eq!(counting(&[("5.1.0", 900, with_liars.clone())]), ["users", "users.uid"]);
        // Many hosts behind one address have one voice.
        with_liars.extend((0..50).map(|_| report("192.0.2.9", &lie)));
        assert_eq!(counting(&[("5.1.0", 900, with_liars.clone())]), ["users", "users.uid"]);
        with_liars.push(report("192.0.2.10", &lie));
        assert_eq!(
            counting(&[("5.1.0", 900, with_liars)]).len(),
            5,
            "three of them are taken for what some hosts have"
        );
    }

    #[test]
    fn all_hosts_decide_where_there_are_fewer_but_never_one_alone() {
        let (stock, lie) = (set(&[("users", &["uid"])]), set(&[("users", &["uid"]), ("made_up", &["a"])]));
        let (one, other) = (report("192.0.2.1", &stock), report("192.0.2.2", &stock));
        assert_eq!(counting(&[("5.1.0", 2, vec![one.clone(), other.clone()])]), ["users", "users.uid"]);
        assert_eq!(counting(&[("5.1.0", 2, vec![one.clone()])]), [""; 0]);
        assert_eq!(counting(&[("5.1.0", 1, vec![one.clone()])]), [""; 0], "one host alone");
        // A host that says it is of a version of its own.
        let liar = ("9.9.9", 1, vec![report("192.0.2.9", &lie)]);
        assert_eq!(counting(&[liar.clone(), ("5.1.0", 1, vec![one.clone()])]), ["users", "users.uid"]);
        assert_eq!(
            counting(&[liar.clone(), ("5.1.0", 1, vec![report("192.0.2.9", &lie)])]),
            [""; 0],
            "the same address"
        );
        assert_eq!(counting(&[("5.1.0", 1, vec![one]), liar]), ["users", "users.uid"]);
    }

    #[test]
    fn most_hosts_say_what_a_column_is() {
        let of_kind = |kind| {
            let column = TableColumn { name: "a".to_owned(), kind, is_hidden: kind == ColumnType::Blob };
            Arc::new(TableSet(BTreeMap::from([("t".to_owned(), vec![column])])))
        };
        let (integer, blob) = (of_kind(ColumnType::Integer), of_kind(ColumnType::Blob));
        let reports = vec![report("a", &blob), report("b", &integer), report("c", &integer)];
        let schema = agreed(&BTreeMap::from([(group("5.1.0"), reports)]), &BTreeMap::new());
        let table = &schema[&group("5.1.0")].tables["t"];
        let column = &table.columns[0];
        assert_eq!((column.kind, column.is_hidden, column.reports), (ColumnType::Integer, false, 3));
        assert!(table.is_agreed && column.is_agreed);
    }
}
