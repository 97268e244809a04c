//! The database: locks, statements, connections, and the files of SQLite.

use super::thresholds::{LARGE_WAL, LOCK_WAIT, LONG_HISTORY, LONG_STATEMENT, NEAR_BOUND, SLOW_STATEMENT, TOLD};
use super::{NodeEntries, count, short};
use crate::commands::debug::facts::{DbLock, DbProcess, DbSettings, DbStatement, DbTable};

const LOCKS: &str = "db-locks.json";
const STATUS: &str = "db-innodb-status.json";
const PROCESSES: &str = "db-process-list.json";
const SETTINGS: &str = "db-settings.json";
const STATEMENTS: &str = "db-statements.json";
const TABLES: &str = "db-tables.json";

pub fn find(entries: &mut NodeEntries<'_>) {
    locks(entries);
    innodb_status(entries);
    let connections = processes(entries);
    settings(entries, connections);
    statements(entries);
    tables(entries);
}

fn locks(entries: &mut NodeEntries<'_>) {
    let Some(mut locks) = entries.json::<Vec<DbLock>>(LOCKS) else { return };
    locks.retain(|lock| lock.waiting_seconds >= LOCK_WAIT);
    locks.sort_by(|one, other| other.waiting_seconds.total_cmp(&one.waiting_seconds));
    for lock in locks.iter().take(TOLD) {
        let statement = |query: &Option<String>| query.as_deref().map_or_else(|| "nothing known".to_owned(), short);
        let idle = if lock.blocking_is_idle { ", which does nothing now" } else { "" };
        let text = format!(
            "a statement has waited {:.0} s for a lock on {}: {} — held for {:.0} s by connection {}{idle}: {}",
            lock.waiting_seconds,
            lock.table,
            statement(&lock.waiting_query),
            lock.blocking_seconds,
            lock.blocking_thread,
            statement(&lock.blocking_query),
        );
        entries.problem(LOCKS, text);
    }
    if locks.len() > TOLD {
        entries.problem(LOCKS, format!("{} more statements wait for locks", locks.len() - TOLD));
    }
}

fn innodb_status(entries: &mut NodeEntries<'_>) {
    let Some(status) = entries.text(STATUS) else { return };
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

/// The number of connections.
fn processes(entries: &mut NodeEntries<'_>) -> Option<usize> {
    let processes = entries.json::<Vec<DbProcess>>(PROCESSES)?;
    // Its own work, and what waits for events of replication.
    let is_statement = |process: &&DbProcess| process.command == "Query" || process.command == "Execute";
    let mut running: Vec<_> = processes.iter().filter(is_statement).filter(|one| one.time >= LONG_STATEMENT).collect();
    running.sort_by_key(|process| -process.time);
    for process in running.iter().take(TOLD) {
        let info = process.info.as_deref().map(short).unwrap_or_default();
        let state = process.state.as_deref().unwrap_or_default();
        let text = format!("a statement of {} has run for {} s ({state}): {info}", process.user, process.time);
        entries.warning(PROCESSES, text);
    }
    Some(processes.len())
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
    if all > 0 {
        let size = all >> 20;
        entries
            .note(TABLES, format!("{} take {size} MiB, most of it {}", count(tables.len(), "table"), names.join(", ")));
    }
}
