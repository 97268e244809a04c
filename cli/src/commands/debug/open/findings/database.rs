//! The database: locks, statements, connections, and the files of SQLite.

use std::collections::HashMap;

use super::innodb_status::{OpenTransaction, open_transactions};
use super::thresholds::{
    IDLE_TRANSACTION, LARGE_WAL, LOCK_WAIT, LONG_HISTORY, LONG_STATEMENT, MUCH_DATA, NEAR_BOUND, SLOW_STATEMENT, TOLD,
};
use super::{NodeEntries, count, duration, short};
use crate::commands::debug::facts::{DbLock, DbProcess, DbSettings, DbStatement, DbTable};

const LOCKS: &str = "db-locks.json";
const STATUS: &str = "db-innodb-status.json";
const PROCESSES: &str = "db-process-list.json";
const SETTINGS: &str = "db-settings.json";
const STATEMENTS: &str = "db-statements.json";
const TABLES: &str = "db-tables.json";

/// What a connection does that does nothing.
const IDLE: &str = "Sleep";

pub fn find(entries: &mut NodeEntries<'_>) {
    let processes = entries.json::<Vec<DbProcess>>(PROCESSES);
    let clients = processes.iter().flatten().map(|process| (process.id, process)).collect();
    let holders = locks(entries, &clients);
    innodb_status(entries, &clients, &holders);
    let connections = processes.as_ref().map(Vec::len);
    statements_now(entries, processes.as_deref().unwrap_or_default());
    settings(entries, connections);
    statements(entries);
    tables(entries);
}

/// The connections of the database by their ids.
type Clients<'a> = HashMap<u64, &'a DbProcess>;

/// A connection, with its user and machine: `45 (root@localhost)`.
fn named(id: u64, clients: &Clients<'_>) -> String {
    match clients.get(&id) {
        Some(process) => {
            let machine = process.host.split(':').next().unwrap_or_default();
            format!("{id} ({}@{machine})", process.user)
        }
        None => id.to_string(),
    }
}

/// The connections that hold what others wait for.
fn locks(entries: &mut NodeEntries<'_>, clients: &Clients<'_>) -> Vec<u64> {
    let Some(mut locks) = entries.json::<Vec<DbLock>>(LOCKS) else { return Vec::new() };
    locks.retain(|lock| lock.waiting_seconds >= LOCK_WAIT);
    locks.sort_by(|one, other| other.waiting_seconds.total_cmp(&one.waiting_seconds));
    for lock in locks.iter().take(TOLD) {
        let waiting = lock.waiting_query.as_deref().map_or_else(|| "not known".to_owned(), short);
        let holder = match (lock.blocking_is_idle, lock.blocking_query.as_deref().map(short)) {
            (true, Some(last)) => format!("is idle in an open transaction; its last statement: {last}."),
            (true, None) => {
                "is idle in an open transaction; its last statement is not known (is performance_schema off?)."
                    .to_owned()
            }
            (false, Some(now)) => format!("runs: {now}."),
            (false, None) => "runs a statement that is not known.".to_owned(),
        };
        let text = format!(
            "a statement has waited {} for a lock on {}: {waiting} — held for {} by connection {}, which {holder} To end it: KILL {}",
            duration(lock.waiting_seconds),
            lock.table,
            duration(lock.blocking_seconds),
            named(lock.blocking_thread, clients),
            lock.blocking_thread,
        );
        entries.problem(LOCKS, text);
    }
    if locks.len() > TOLD {
        entries.problem(LOCKS, format!("{} more statements wait for locks", locks.len() - TOLD));
    }
    locks.iter().map(|lock| lock.blocking_thread).collect()
}

fn innodb_status(entries: &mut NodeEntries<'_>, clients: &Clients<'_>, holders: &[u64]) {
    let Some(status) = entries.text(STATUS) else { return };
    let mut idle: Vec<_> = open_transactions(&status)
        .filter_map(|open| {
            let seconds = clients.get(&open.connection).filter(|process| process.command == IDLE)?.time;
            (seconds >= IDLE_TRANSACTION && open.row_locks > 0 && !holders.contains(&open.connection))
                .then_some((seconds, open))
        })
        .collect();
    idle.sort_by_key(|(seconds, _)| -seconds);
    for (seconds, OpenTransaction { connection, row_locks }) in idle.into_iter().take(TOLD) {
        let text = format!(
            "connection {} has been idle for {} in an open transaction and holds {}: whoever needs these rows waits. To end it: KILL \
             {connection}",
            named(connection, clients),
            duration(seconds as f64),
            count(row_locks, "row lock"),
        );
        entries.problem(STATUS, text);
    }
    if status.contains("LATEST DETECTED DEADLOCK") {
        entries
            .note(STATUS, "there was a deadlock since the database started; the entry has its statements".to_owned());
    }
    let history = status.split_once("History list length ").and_then(|(_, rest)| {
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        digits.parse::<u64>().ok()
    });
    if let Some(length) = history.filter(|length| *length >= LONG_HISTORY) {
        let text = format!("InnoDB keeps {length} old versions of rows: a transaction has been open for long");
        entries.warning(STATUS, text);
    }
}

fn statements_now(entries: &mut NodeEntries<'_>, processes: &[DbProcess]) {
    // Its own work, and what waits for events of replication.
    let is_statement = |process: &&DbProcess| process.command == "Query" || process.command == "Execute";
    let mut running: Vec<_> = processes.iter().filter(is_statement).filter(|one| one.time >= LONG_STATEMENT).collect();
    running.sort_by_key(|process| -process.time);
    for process in running.iter().take(TOLD) {
        let info = process.info.as_deref().map(short).unwrap_or_default();
        let state = process.state.as_deref().unwrap_or_default();
        let (who, time) = (&process.user, duration(process.time as f64));
        let text = format!("a statement of {who} has run for {time} ({state}): {info}");
        entries.warning(PROCESSES, text);
    }
}

fn settings(entries: &mut NodeEntries<'_>, connections: Option<usize>) {
    let Some(database) = entries.json::<DbSettings>(SETTINGS) else { return };
    let number = |name: &str| {
        let value = database.settings.get(name).or_else(|| database.figures.get(name))?;
        value.parse::<u64>().ok()
    };
    let connected = number("Threads_connected").or(connections.map(|count| count as u64));
    if let (Some(connected), Some(most)) = (connected, number("max_connections").filter(|most| *most > 0))
        && connected as f64 >= most as f64 * NEAR_BOUND
    {
        let text = format!("the database has {connected} of {most} connections (max_connections)");
        entries.warning(SETTINGS, text);
    }
    if let Some(bytes) = number("wal_bytes").or_else(|| number("wal_size")).filter(|bytes| *bytes >= LARGE_WAL) {
        let text =
            format!("the write-ahead log of SQLite has {} MiB: a reader keeps it from being emptied", bytes >> 20);
        entries.warning(SETTINGS, text);
    }
}

fn statements(entries: &mut NodeEntries<'_>) {
    let Some(statements) = entries.json::<Vec<DbStatement>>(STATEMENTS) else { return };
    for one in statements.iter().filter(|one| one.average_seconds >= SLOW_STATEMENT).take(TOLD) {
        let text = format!(
            "a statement takes {:.2} s on average ({} runs, at most {:.1} s, {} rows read): {}",
            one.average_seconds,
            one.count,
            one.max_seconds,
            one.rows_examined,
            short(&one.statement)
        );
        entries.warning(STATEMENTS, text);
    }
}

fn tables(entries: &mut NodeEntries<'_>) {
    const NAMED: usize = 3;
    let Some(mut tables) = entries.json::<Vec<DbTable>>(TABLES) else { return };
    tables.sort_by_key(|table| std::cmp::Reverse(table.data_bytes + table.index_bytes));
    let bytes = |table: &DbTable| table.data_bytes + table.index_bytes;
    let all: u64 = tables.iter().map(bytes).sum();
    let names: Vec<_> =
        tables.iter().take(NAMED).map(|table| format!("{} {} MiB", table.name, bytes(table) >> 20)).collect();
    let size = all >> 20;
    if size >= MUCH_DATA {
        entries
            .note(TABLES, format!("{} take {size} MiB, most of it {}", count(tables.len(), "table"), names.join(", ")));
    }
}
