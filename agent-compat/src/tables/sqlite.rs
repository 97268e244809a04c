//! Real SQL over small tables that look like the host.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    params_from_iter,
};

use super::{
    Context, Cost, OwnTable, Row, Tables,
    host::{self, Facts, TableDef},
    number::text_of,
};
use crate::agent::{Version, chance};

/// Virtual machine steps after which a query is interrupted: well below a second of work.
const MAX_STEPS: u64 = 20_000_000;
const STEPS_PER_CHECK: i32 = 1000;
/// Largest result in bytes of names and values.
const MAX_RESULT_BYTES: usize = 16 * 1024 * 1024;
/// Longest single value or statement in bytes.
const MAX_VALUE_BYTES: i32 = 8 * 1024 * 1024;

/// The tables of one host in memory. They are made when first asked for, and no query can change them.
///
/// Tables of other platforms do not exist. An endless query ends with the error `interrupted` after a fixed amount
/// of work, so a call takes less than about a second and blocks its thread for that long.
#[derive(Default)]
pub struct SqliteHost {
    connection: Option<Connection>,
    guard: Guard,
    /// Unix second at which each table was last filled.
    filled_s: HashMap<&'static str, u64>,
    cost: Cost,
}

/// Shared with the callbacks of the connection.
#[derive(Clone, Default)]
struct Guard {
    /// Tables may be changed, because this module is filling them.
    filling: Arc<AtomicBool>,
    steps: Arc<AtomicU64>,
}

impl SqliteHost {
    /// A host whose tables are made when first asked for, from the identity of whoever asks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn answer(&mut self, sql: &str, context: &Context<'_>) -> Result<Vec<Row>, rusqlite::Error> {
        if self.connection.is_none() {
            self.connection = Some(open(&self.guard)?);
        }
        let Some(connection) = &self.connection else {
            return Ok(Vec::new());
        };
        let words = words(sql);
        self.guard.filling.store(true, Ordering::Relaxed);
        let filled = fill(connection, &words, context, &mut self.filled_s);
        self.guard.filling.store(false, Ordering::Relaxed);
        filled?;
        self.guard.steps.store(0, Ordering::Relaxed);
        self.cost = simulated_cost(&words, context);
        run(connection, sql)
    }
}

impl Tables for SqliteHost {
    fn query(&mut self, sql: &str, context: &Context<'_>) -> Result<Vec<Row>, String> {
        self.answer(sql, context).map_err(|error| message_of(&error))
    }

    fn last_cost(&self) -> Cost {
        self.cost
    }
}

fn open(guard: &Guard) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch("PRAGMA page_size = 1024; PRAGMA temp_store = MEMORY;")?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    host::functions::register(&connection)?;
    let steps = Arc::clone(&guard.steps);
    connection.progress_handler(
        STEPS_PER_CHECK,
        Some(move || {
            let step = u64::try_from(STEPS_PER_CHECK).unwrap_or(1);
            steps.fetch_add(step, Ordering::Relaxed) > MAX_STEPS
        }),
    )?;
    let filling = Arc::clone(&guard.filling);
    connection.authorizer(Some(move |asked: AuthContext<'_>| {
        let reads = match asked.action {
            AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => true,
            AuthAction::Pragma { pragma_name, .. } => {
                matches!(pragma_name, "table_info" | "table_xinfo" | "table_list")
            }
            _ => false,
        };
        if reads || filling.load(Ordering::Relaxed) { Authorization::Allow } else { Authorization::Deny }
    }))?;
    Ok(connection)
}

/// The identifiers in a statement, in lower case.
fn words(sql: &str) -> HashSet<String> {
    sql.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').map(str::to_ascii_lowercase).collect()
}

/// Brings the tables that a statement mentions up to date.
fn fill(
    connection: &Connection,
    words: &HashSet<String>,
    context: &Context<'_>,
    filled_s: &mut HashMap<&'static str, u64>,
) -> Result<(), rusqlite::Error> {
    let now_s = context.now_ms / 1000;
    let facts = Facts::of(context.identity, now_s, agent_process(context));
    // Who asks for columns reads the names of the tables from another one.
    let asks_columns = words.iter().any(|word| word.starts_with("pragma_table_"));
    for table in host::tables() {
        if !host::has_table(table, &facts) {
            continue;
        }
        if asks_columns {
            declare(connection, table.name, table.columns)?;
        }
        if !words.contains(table.name) {
            continue;
        }
        match filled_s.get(table.name) {
            Some(at_s) if !table.moves || *at_s == now_s => continue,
            _ => fill_host_table(connection, table, &facts)?,
        }
        filled_s.insert(table.name, now_s);
    }
    for table in OwnTable::ALL {
        if asks_columns {
            let version = Version::parse(&context.identity.osquery_version);
            replace_table(connection, table.name(), &host::own_columns(table, version))?;
        }
        if words.contains(table.name()) {
            fill_own_table(connection, table, words, context)?;
        }
    }
    Ok(())
}

/// Process id and start time of the agent that asks.
fn agent_process(context: &Context<'_>) -> (u64, u64) {
    let info = context.own.rows(OwnTable::Info);
    let number = |column: &str| {
        let found = info.iter().flatten().find(|(name, _)| name == column);
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    };
    (number("pid"), number("start_time"))
}

fn fill_host_table(connection: &Connection, table: &TableDef, facts: &Facts<'_>) -> Result<(), rusqlite::Error> {
    replace_table(connection, table.name, table.columns)?;
    insert(connection, table.name, (table.rows)(facts).into_iter())
}

fn fill_own_table(
    connection: &Connection,
    table: OwnTable,
    words: &HashSet<String>,
    context: &Context<'_>,
) -> Result<(), rusqlite::Error> {
    let version = Version::parse(&context.identity.osquery_version);
    let mut columns = host::own_columns(table, version);
    let mut rows = context.own.rows(table);
    // The former name is a hidden column of newer releases: it exists only for those who name it.
    if table == OwnTable::Schedule && version.at_least(4, 4, 0) && words.contains("blacklisted") {
        columns.push_str(", blacklisted INTEGER");
        for row in &mut rows {
            let denied = row.iter().find(|(name, _)| name == "denylisted").map(|(_, value)| value.clone());
            row.push(("blacklisted".to_owned(), denied.unwrap_or_default()));
        }
    }
    replace_table(connection, table.name(), &columns)?;
    let values = rows.into_iter().map(|row| row.into_iter().map(|(_, value)| value).collect());
    insert(connection, table.name(), values)
}

/// Makes a table without rows, unless it is there.
fn declare(connection: &Connection, name: &str, columns: &str) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {name} ({columns});"))
}

fn replace_table(connection: &Connection, name: &str, columns: &str) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({columns});"))
}

fn insert(
    connection: &Connection,
    table: &str,
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<(), rusqlite::Error> {
    for row in rows {
        let parameters = vec!["?"; row.len()].join(",");
        let mut statement = connection.prepare_cached(&format!("INSERT INTO {table} VALUES ({parameters})"))?;
        statement.execute(params_from_iter(row))?;
    }
    Ok(())
}

fn run(connection: &Connection, sql: &str) -> Result<Vec<Row>, rusqlite::Error> {
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut found = Vec::new();
    let mut bytes = 0;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut columns = Row::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let value = text_of(row.get_ref(at)?);
            bytes += name.len() + value.len();
            columns.push((name.clone(), value));
        }
        if bytes > MAX_RESULT_BYTES {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT),
                Some("interrupted".to_owned()),
            ));
        }
        found.push(columns);
    }
    Ok(found)
}

fn message_of(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        // What osquery says about a second statement.
        rusqlite::Error::MultipleStatement => "map::at".to_owned(),
        other => other.to_string(),
    }
}

/// A believable price: a sum over the tables named, different per host and run.
fn simulated_cost(words: &HashSet<String>, context: &Context<'_>) -> Cost {
    let tables = host::tables().filter(|table| words.contains(table.name));
    let weight: u64 = 1 + tables.map(|table| table.weight).sum::<u64>();
    let seed = context.identity.seed;
    let host_percent = 60 + chance::below(seed, 70, 120);
    let run_percent = 80 + chance::below(seed ^ context.now_ms, weight, 50);
    let wall_ms = weight * host_percent * run_percent / 10_000;
    // CPU time is counted in ticks of 10 ms; short runs sometimes hit one.
    let ticks = |ms: u64, salt| (ms + chance::below(seed ^ context.now_ms, salt, 10)) / 10 * 10;
    let grows = chance::below(seed ^ context.now_ms, 73, 3) == 0;
    Cost {
        wall_ms,
        user_ms: ticks(wall_ms * 7 / 10, 71),
        system_ms: ticks(wall_ms / 5, 72),
        memory_bytes: if grows { weight * 4096 } else { 0 },
    }
}
