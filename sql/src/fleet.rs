//! Which hosts lack what a statement names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::agent_tables::AgentTables;
use crate::reads::{Unclear, reads};
use crate::tokens::{Token, tokens};

/// Most agent groups that are looked at, those with most hosts first; of a fleet that has more, the others count as not known.
const MAX_GROUPS: usize = 500;

/// Tables that have rows or columns only when these flags of osquery are set.
const FLAGS_OF_EVENTS: [(&str, &str); 17] = [
    ("apparmor_events", "--disable_audit=false, --audit_allow_apparmor_events"),
    ("bpf_process_events", "--enable_bpf_events"),
    ("bpf_socket_events", "--enable_bpf_events"),
    ("dns_lookup_events", "--enable_dns_lookup_events"),
    ("es_process_events", "--disable_endpointsecurity=false"),
    ("es_process_file_events", "--disable_endpointsecurity=false, --disable_endpointsecurity_fim=false"),
    ("file_events", "--enable_file_events"),
    ("ntfs_journal_events", "--enable_ntfs_event_publisher"),
    ("powershell_events", "--enable_powershell_events_subscriber"),
    ("process_etw_events", "--enable_process_etw_events"),
    ("process_events", "--disable_audit=false"),
    ("process_file_events", "--disable_audit=false, --audit_allow_fim_events"),
    ("seccomp_events", "--disable_audit=false, --audit_allow_seccomp_events"),
    ("selinux_events", "--disable_audit=false, --audit_allow_selinux_events"),
    ("socket_events", "--disable_audit=false, --audit_allow_sockets"),
    ("syslog_events", "--enable_syslog"),
    ("windows_events", "--enable_windows_events_publisher, --enable_windows_events_subscriber"),
];

/// Hosts with the same platform and version of osquery, and the tables they have.
#[derive(Debug, Clone, Copy)]
pub struct GroupTables<'a> {
    pub platform: &'a str,
    pub version: &'a str,
    pub hosts: u64,
    /// `None` if no host of it has reported its tables.
    pub tables: Option<&'a AgentTables>,
}

/// What hosts lack of what a statement names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetLack {
    /// Tables first, by name; those that nobody lacks are left out.
    pub names: Vec<LackedName>,
    /// Hosts of which nobody knows the tables.
    pub unknown_hosts: u64,
}

/// A table or column, and who lacks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackedName {
    /// The table; several if the column can have been meant of each.
    pub tables: BTreeSet<String>,
    /// `None` if the table itself is lacked.
    pub column: Option<String>,
    /// Positions in the list of agent groups.
    pub groups: Vec<usize>,
    /// Hosts of these groups.
    pub hosts: u64,
    /// Whether no host whose tables are known has it.
    pub is_nowhere: bool,
    /// Flags of osquery without which hosts do not have the table.
    pub flags: Option<&'static str>,
}

/// Which of these agent groups lack a table or column that `sql` names.
///
/// # Errors
/// [`Unclear`] if nobody can say what it reads, whatever tables there are.
pub fn lacking(sql: &str, groups: &[GroupTables<'_>]) -> Result<FleetLack, Unclear> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(groups[*at].hosts));
    let looked_at: BTreeSet<usize> = order.into_iter().take(MAX_GROUPS).collect();
    let mut lack = FleetLack::default();
    let mut names: BTreeMap<(Option<String>, BTreeSet<String>), Vec<usize>> = BTreeMap::new();
    let mut known_groups = 0;
    let mut asked = Answers::new(sql);
    for (position, group) in groups.iter().enumerate() {
        let Some(tables) = group.tables.filter(|_| looked_at.contains(&position)) else {
            lack.unknown_hosts += group.hosts;
            continue;
        };
        known_groups += 1;
        for name in asked.lacked_by(tables)? {
            names.entry(name).or_default().push(position);
        }
    }
    lack.names = names
        .into_iter()
        .map(|((column, tables), of)| LackedName {
            flags: tables.iter().find_map(|table| flags_of(table)).filter(|_| column.is_none()),
            hosts: of.iter().map(|position| groups[*position].hosts).sum(),
            is_nowhere: of.len() == known_groups,
            tables,
            column,
            groups: of,
        })
        .collect();
    Ok(lack)
}

fn flags_of(table: &str) -> Option<&'static str> {
    FLAGS_OF_EVENTS.iter().find(|(name, _)| *name == table).map(|(_, flags)| *flags)
}

/// A column, or none, and the tables it can have been meant of.
type LackedKey = (Option<String>, BTreeSet<String>);

/// A statement, and what it lacks of each different set of the tables that it names: most groups have the same.
struct Answers<'a> {
    sql: &'a str,
    names: BTreeSet<String>,
    known: HashMap<Vec<(String, String)>, Vec<LackedKey>>,
}

impl<'a> Answers<'a> {
    fn new(sql: &'a str) -> Self {
        Self { sql, names: tokens(sql).iter().filter_map(Token::name).collect(), known: HashMap::new() }
    }

    fn lacked_by(&mut self, tables: &AgentTables) -> Result<Vec<LackedKey>, Unclear> {
        let tables = tables.only(self.names_with_views(tables));
        let shape = tables.shape();
        if let Some(known) = self.known.get(&shape) {
            return Ok(known.clone());
        }
        let read = reads(self.sql, &tables)?;
        let lacked_tables = read.unknown_tables.into_iter().map(|table| (None, BTreeSet::from([table])));
        let lacked_columns = read.unknown_columns.into_iter().map(|column| (Some(column.name), column.tables));
        let lacked: Vec<LackedKey> = lacked_tables.chain(lacked_columns).collect();
        self.known.insert(shape, lacked.clone());
        Ok(lacked)
    }

    /// The names in the statement, and in all views if it names one.
    fn names_with_views(&self, tables: &AgentTables) -> BTreeSet<String> {
        let mut names = self.names.clone();
        if tables.views().keys().any(|view| names.contains(view)) {
            let in_views =
                tables.views().values().flat_map(|sql| tokens(sql).iter().filter_map(Token::name).collect::<Vec<_>>());
            names.extend(in_views);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AgentColumn;

    fn tables(text: &str) -> AgentTables {
        let mut tables = AgentTables::default();
        for line in text.split(';') {
            let (name, columns) = line.trim().split_once(' ').unwrap();
            tables.add_table(name, columns.split(' ').map(|name| AgentColumn::new(name, "TEXT", false)));
        }
        tables
    }

    fn said(lack: &FleetLack) -> Vec<String> {
        let name = |name: &LackedName| {
            let tables = name.tables.iter().cloned().collect::<Vec<_>>().join("|");
            let column = name.column.as_ref().map(|column| format!(".{column}")).unwrap_or_default();
            let nowhere = if name.is_nowhere { " nowhere" } else { "" };
            format!("{tables}{column} {:?} {}{nowhere}", name.groups, name.hosts)
        };
        lack.names.iter().map(name).collect()
    }

    #[test]
    fn each_group_is_asked_by_what_it_has() {
        let linux = tables("processes pid name cgroup_path; users uid; process_events pid");
        let old = tables("processes pid name; users uid");
        let windows = tables("processes pid name; users uid; registry key");
        let groups = [
            GroupTables { platform: "ubuntu", version: "5.12.0", hosts: 900, tables: Some(&linux) },
            GroupTables { platform: "ubuntu", version: "4.9.0", hosts: 40, tables: Some(&old) },
            GroupTables { platform: "windows", version: "5.12.0", hosts: 300, tables: Some(&windows) },
            GroupTables { platform: "darwin", version: "5.12.0", hosts: 7, tables: None },
        ];
        let ask = |sql: &str| lacking(sql, &groups).unwrap();
        assert_eq!(said(&ask("SELECT name FROM processes, users")), [""; 0]);
        assert_eq!(
            said(&ask("SELECT cgroup_path, nope FROM processes")),
            ["processes.cgroup_path [1, 2] 340", "processes.nope [0, 1, 2] 1240 nowhere"]
        );
        let lack = ask("SELECT r.key, p.pid FROM registry r JOIN process_events p JOIN nowhere");
        assert_eq!(said(&lack), ["nowhere [0, 1, 2] 1240 nowhere", "process_events [1, 2] 340", "registry [0, 1] 940"]);
        assert_eq!(lack.unknown_hosts, 7);
        assert_eq!(lack.names[1].flags, Some("--disable_audit=false"));
        assert!(lack.names[0].flags.is_none());
        assert!(lacking("SELECT FROM", &groups).is_err());
        assert_eq!(lacking("SELECT nope FROM processes", &[]).unwrap(), FleetLack::default());
    }

    #[test]
    fn an_unqualified_column_is_looked_for_where_the_group_has_it() {
        let (left, right) = (tables("a id x; b id"), tables("a id; b id x"));
        let group = |tables| GroupTables { platform: "p", version: "1.0.0", hosts: 1, tables: Some(tables) };
        let groups = [group(&left), group(&right)];
        assert_eq!(said(&lacking("SELECT x FROM a JOIN b USING (id)", &groups).unwrap()), [""; 0]);
        assert_eq!(said(&lacking("SELECT a.x FROM a JOIN b USING (id)", &groups).unwrap()), ["a.x [1] 1"]);
    }
}
