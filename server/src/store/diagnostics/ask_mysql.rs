//! What MySQL and MariaDB are asked. What only one of them understands is in a file of its own.

use std::collections::{BTreeMap, HashMap};

use sea_orm::sqlx::mysql::{MySql, MySqlDatabaseError, MySqlRow};
use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::{self, Executor as _, Row as _};

use super::figures::{DatabaseProcess, DatabaseSettings, LockWait, StatementDigest, TableSize};
use super::innodb_status::InnodbStatus;
use super::redact::SqlText;
use super::{DatabaseDiagnostics, DiagnosisConnection, Unshown, mariadb, mysql};
use crate::clock::Moment;
use crate::store::pools::ConnectionPool;

/// A statement, and the privileges without which it is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct DatabaseQuestion {
    pub sql: &'static str,
    pub needs: &'static [&'static str],
}

const INNODB_STATUS: DatabaseQuestion =
    DatabaseQuestion { sql: "SHOW ENGINE INNODB STATUS", needs: &["PROCESS ON *.*"] };

const PROCESSES: DatabaseQuestion = DatabaseQuestion {
    sql: "SELECT ID AS id, USER AS user, HOST AS host, DB AS db, COMMAND AS command, TIME AS time, STATE AS state, \
        LEFT(INFO, 4000) AS info FROM information_schema.PROCESSLIST \
        ORDER BY COMMAND = 'Sleep', TIME DESC LIMIT 1000",
    needs: &[],
};

/// Whether statements are counted.
const IS_COUNTING: DatabaseQuestion =
    DatabaseQuestion { sql: "SELECT @@GLOBAL.performance_schema AS value", needs: &[] };

/// Times are in picoseconds.
const STATEMENTS: DatabaseQuestion = DatabaseQuestion {
    sql: "SELECT LEFT(DIGEST_TEXT, 4000) AS statement, COUNT_STAR AS runs, SUM_TIMER_WAIT AS total_ps, \
        MAX_TIMER_WAIT AS max_ps, SUM_LOCK_TIME AS lock_ps, SUM_ERRORS AS errors, SUM_ROWS_SENT AS rows_sent, \
        SUM_ROWS_EXAMINED AS rows_examined, SUM_ROWS_AFFECTED AS rows_affected, \
        UNIX_TIMESTAMP(FIRST_SEEN) AS first_seen, UNIX_TIMESTAMP(LAST_SEEN) AS last_seen \
        FROM performance_schema.events_statements_summary_by_digest \
        WHERE SCHEMA_NAME = DATABASE() AND DIGEST_TEXT IS NOT NULL ORDER BY SUM_TIMER_WAIT DESC LIMIT 50",
    needs: &["SELECT ON performance_schema.*"],
};

/// The last statements of connections that hold locks, the latest of each last; what is no statement, such as a ping, has no
/// text. Empty where they are not kept, as with MariaDB's defaults.
const LAST_STATEMENTS: DatabaseQuestion = DatabaseQuestion {
    sql: "SELECT t.PROCESSLIST_ID AS thread, LEFT(s.SQL_TEXT, 4000) AS statement FROM performance_schema.threads t \
        JOIN (SELECT THREAD_ID, EVENT_ID, SQL_TEXT FROM performance_schema.events_statements_history \
        UNION SELECT THREAD_ID, EVENT_ID, SQL_TEXT FROM performance_schema.events_statements_current) s \
        ON s.THREAD_ID = t.THREAD_ID WHERE s.SQL_TEXT IS NOT NULL \
        AND t.PROCESSLIST_ID IN (SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX) \
        ORDER BY s.EVENT_ID LIMIT 5000",
    needs: &["SELECT ON performance_schema.*"],
};

const SETTINGS: DatabaseQuestion = DatabaseQuestion {
    sql: "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('autocommit', 'binlog_format', 'character_set_server', \
        'collation_server', 'gtid_mode', 'innodb_adaptive_hash_index', 'innodb_buffer_pool_size', 'innodb_deadlock_detect', \
        'innodb_flush_log_at_trx_commit', 'innodb_flush_method', 'innodb_io_capacity', 'innodb_lock_wait_timeout', \
        'innodb_log_file_size', 'innodb_print_all_deadlocks', 'innodb_redo_log_capacity', 'innodb_snapshot_isolation', \
        'interactive_timeout', 'lock_wait_timeout', 'log_bin', 'long_query_time', 'max_allowed_packet', 'max_connections', \
        'max_execution_time', 'max_prepared_stmt_count', 'max_statement_time', 'max_user_connections', \
        'performance_schema', 'read_only', 'slow_query_log', 'sql_mode', 'super_read_only', 'sync_binlog', \
        'table_definition_cache', 'table_open_cache', 'thread_handling', 'time_zone', 'transaction_isolation', \
        'tx_isolation', 'version', 'version_comment', 'wait_timeout', 'wsrep_on', 'wsrep_sync_wait')",
    needs: &[],
};

const FIGURES: DatabaseQuestion = DatabaseQuestion {
    sql: "SHOW GLOBAL STATUS WHERE Variable_name IN ('Aborted_clients', 'Aborted_connects', 'Bytes_received', 'Bytes_sent', \
        'Connection_errors_max_connections', 'Created_tmp_disk_tables', 'Innodb_buffer_pool_bytes_data', \
        'Innodb_buffer_pool_bytes_dirty', 'Innodb_buffer_pool_pages_free', 'Innodb_buffer_pool_read_requests', \
        'Innodb_buffer_pool_reads', 'Innodb_buffer_pool_wait_free', 'Innodb_data_fsyncs', 'Innodb_deadlocks', \
        'Innodb_history_list_length', 'Innodb_log_waits', 'Innodb_os_log_written', 'Innodb_row_lock_current_waits', \
        'Innodb_row_lock_time', 'Innodb_row_lock_time_max', 'Innodb_row_lock_waits', 'Innodb_rows_deleted', \
        'Innodb_rows_inserted', 'Innodb_rows_read', 'Innodb_rows_updated', 'Max_used_connections', 'Open_tables', \
        'Opened_tables', 'Prepared_stmt_count', 'Queries', 'Slow_queries', 'Table_locks_waited', 'Threads_connected', \
        'Threads_created', 'Threads_running', 'Uptime', 'wsrep_cluster_size', 'wsrep_cluster_status', \
        'wsrep_flow_control_paused', 'wsrep_local_state_comment', 'wsrep_ready')",
    needs: &[],
};

const TABLES: DatabaseQuestion = DatabaseQuestion {
    sql: "SELECT TABLE_NAME AS name, TABLE_ROWS AS row_count, DATA_LENGTH AS data_bytes, INDEX_LENGTH AS index_bytes \
        FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' \
        ORDER BY DATA_LENGTH + INDEX_LENGTH DESC, TABLE_NAME LIMIT 1000",
    needs: &[],
};

/// A connection for one question. Rows come as text.
pub(super) struct MysqlSession {
    connection: PoolConnection<MySql>,
    /// Ends the connection when it is dropped.
    _db: DiagnosisConnection,
    version: String,
}

impl MysqlSession {
    /// Connects, if the database is no SQLite.
    pub async fn open(database: &DatabaseDiagnostics) -> Result<Self, Unshown> {
        if database.mysql.is_none() {
            let reason = "the database is SQLite, which has no such report; see db/settings and db/tables";
            return Err(Unshown::NotHere(reason.to_owned()));
        }
        let db = database.open().await.map_err(|error| Unshown::Unavailable(error.to_string()))?;
        let connection = db.get_mysql_connection_pool().acquire().await.map_err(unavailable)?;
        let mut session = Self { connection, _db: db, version: String::new() };
        let version = session.ask(DatabaseQuestion { sql: "SELECT VERSION() AS value", needs: &[] }).await?;
        session.version = version.first().and_then(|row| text(row, "value")).unwrap_or_default();
        Ok(session)
    }

    fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    async fn ask(&mut self, question: DatabaseQuestion) -> Result<Vec<MySqlRow>, Unshown> {
        match self.connection.fetch_all(question.sql).await {
            Ok(rows) => Ok(rows),
            Err(error) if is_forbidden(&error) => Err(self.forbidden(question).await),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// What to grant, to whom.
    async fn forbidden(&mut self, question: DatabaseQuestion) -> Unshown {
        let found = self.connection.fetch_one("SELECT CURRENT_USER() AS value").await.ok();
        let user = found.and_then(|row| text(&row, "value")).unwrap_or_default();
        let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
        let grants: Vec<String> =
            question.needs.iter().map(|privilege| format!("GRANT {privilege} TO '{name}'@'{host}';")).collect();
        Unshown::NotHere(format!(
            "the database does not show this to its user {user}; an administrator of the database can allow it: {}",
            grants.join(" ")
        ))
    }

    pub async fn locks(mut self) -> Result<Vec<LockWait>, Unshown> {
        let question = if self.is_mariadb() { mariadb::LOCKS } else { mysql::LOCKS };
        let rows = self.ask(question).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        // Without the privilege or where it is not kept, idle transactions are shown without a statement.
        let last: HashMap<u64, String> = match self.ask(LAST_STATEMENTS).await {
            Ok(rows) => rows.iter().filter_map(|row| Some((number(row, "thread"), text(row, "statement")?))).collect(),
            Err(_) => HashMap::new(),
        };
        let of = |row: &MySqlRow| {
            let (blocking_thread, running) = (number(row, "blocking_thread"), text(row, "blocking_query"));
            LockWait {
                waiting_transaction: text(row, "waiting_trx_id").unwrap_or_default(),
                waiting_thread: number(row, "waiting_thread"),
                waiting_statement: text(row, "waiting_query").map(SqlText::new),
                waiting_seconds: float(row, "waiting_us") / 1e6,
                blocking_transaction: text(row, "blocking_trx_id").unwrap_or_default(),
                blocking_thread,
                is_blocking_idle: running.is_none(),
                blocking_statement: running.or_else(|| last.get(&blocking_thread).cloned()).map(SqlText::new),
                blocking_seconds: float(row, "blocking_us") / 1e6,
                table: text(row, "lock_table").unwrap_or_default().replace('`', ""),
                index: text(row, "lock_index"),
                lock_mode: text(row, "lock_mode").unwrap_or_default(),
            }
        };
        Ok(rows.iter().map(of).collect())
    }

    pub async fn innodb_status(mut self) -> Result<InnodbStatus, Unshown> {
        let rows = self.ask(INNODB_STATUS).await?;
        Ok(InnodbStatus::new(rows.first().and_then(|row| text(row, "Status")).unwrap_or_default()))
    }

    pub async fn processes(mut self) -> Result<Vec<DatabaseProcess>, Unshown> {
        let of = |row: &MySqlRow| DatabaseProcess {
            id: number(row, "id"),
            user: text(row, "user").unwrap_or_default(),
            host: text(row, "host").unwrap_or_default(),
            database: text(row, "db"),
            command: text(row, "command").unwrap_or_default(),
            seconds: text(row, "time").and_then(|time| time.parse().ok()).unwrap_or_default(),
            state: text(row, "state"),
            statement: text(row, "info").map(SqlText::new),
        };
        Ok(self.ask(PROCESSES).await?.iter().map(of).collect())
    }

    pub async fn statements(mut self) -> Result<Vec<StatementDigest>, Unshown> {
        let is_counting = self.ask(IS_COUNTING).await?;
        if is_counting.first().and_then(|row| text(row, "value")).as_deref() != Some("1") {
            let reason = "the database does not count statements: start it with performance_schema=ON (in its \
                configuration file; MariaDB's default is OFF); it takes some hundred megabytes of its memory";
            return Err(Unshown::NotHere(reason.to_owned()));
        }
        let of = |row: &MySqlRow| StatementDigest {
            statement: SqlText::new(text(row, "statement").unwrap_or_default()),
            count: number(row, "runs"),
            total_seconds: float(row, "total_ps") / 1e12,
            max_seconds: float(row, "max_ps") / 1e12,
            lock_seconds: float(row, "lock_ps") / 1e12,
            errors: number(row, "errors"),
            rows_sent: number(row, "rows_sent"),
            rows_examined: number(row, "rows_examined"),
            rows_affected: number(row, "rows_affected"),
            first_seen: moment(row, "first_seen"),
            last_seen: moment(row, "last_seen"),
        };
        Ok(self.ask(STATEMENTS).await?.iter().map(of).collect())
    }

    pub async fn settings(mut self, pools: Vec<ConnectionPool>) -> Result<DatabaseSettings, Unshown> {
        let named = |rows: Vec<MySqlRow>| -> BTreeMap<String, String> {
            rows.iter().filter_map(|row| Some((text(row, "Variable_name")?, text(row, "Value")?))).collect()
        };
        let kind = if self.is_mariadb() { "MariaDB" } else { "MySQL" };
        let (settings, figures) = (named(self.ask(SETTINGS).await?), named(self.ask(FIGURES).await?));
        Ok(DatabaseSettings { kind, version: self.version, settings, figures, pools })
    }

    pub async fn tables(mut self) -> Result<Vec<TableSize>, Unshown> {
        let of = |row: &MySqlRow| TableSize {
            name: text(row, "name").unwrap_or_default(),
            rows: number(row, "row_count"),
            data_bytes: number(row, "data_bytes"),
            index_bytes: number(row, "index_bytes"),
        };
        Ok(self.ask(TABLES).await?.iter().map(of).collect())
    }
}

/// A column as text; `None` if it is NULL.
fn text(row: &MySqlRow, column: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(column).ok()?;
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn number(row: &MySqlRow, column: &str) -> u64 {
    text(row, column).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Not below 0, as clocks may be set back.
fn float(row: &MySqlRow, column: &str) -> f64 {
    text(row, column).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default().max(0.0)
}

/// A time in seconds since 1970.
fn moment(row: &MySqlRow, column: &str) -> Option<Moment> {
    let seconds = float(row, column);
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    (seconds > 0.0).then_some(Moment((seconds * 1e6) as i64))
}

/// Whether a privilege is missing: for the database, the table, the column, or in general.
fn is_forbidden(error: &sqlx::Error) -> bool {
    let number = match error {
        sqlx::Error::Database(error) => error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number),
        _ => None,
    };
    matches!(number, Some(1044 | 1142 | 1143 | 1227))
}

fn unavailable(error: sqlx::Error) -> Unshown {
    let reason = match error {
        sqlx::Error::PoolTimedOut => "no connection in time".to_owned(),
        error => error.to_string(),
    };
    Unshown::Unavailable(format!("the database does not answer: {reason}"))
}
