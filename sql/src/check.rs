//! Checks of SQL that SQLite can do without the agent's tables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Error, ErrorCode};

use crate::size::{self, TOO_LARGE};
use crate::tokens::{Token, TokenKind, tokens};

/// The longest SQL text: it leaves room for other queries in a config.
pub const MAX_SQL_BYTES: usize = 256 * 1024;

/// Words in SQLite's message that mean a syntax error, and not an unknown table.
const SYNTAX_ERRORS: [&str; 3] = ["syntax error", "incomplete input", "unrecognized token"];

/// Pragmas that only read, with whatever argument.
const READING_PRAGMAS: [&str; 17] = [
    "collation_list",
    "compile_options",
    "database_list",
    "foreign_key_check",
    "foreign_key_list",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "pragma_list",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "freelist_count",
];

/// Pragmas that read when they have no argument, and write when they have one.
const SETTINGS: [&str; 5] = ["application_id", "encoding", "page_count", "schema_version", "user_version"];

/// Checks that `sql` is one statement that SQLite can parse and that only reads. Tables, columns and functions that are
/// not known here are no error: agents have their own.
///
/// # Errors
/// What is wrong, as an error text for operators.
pub fn check(sql: &str) -> Result<(), String> {
    let statement = statement(sql)?;
    let Ok(checker) = Checker::new() else { return Ok(()) };
    match checker.parse(statement) {
        Parsed::Writes(what) => Err(format!("is not allowed: {what}; agents only read")),
        Parsed::Fails(reason) => Err(format!("is not SQL that SQLite can parse: {reason}")),
        Parsed::ReadsPragma => Ok(()),
        // SQLite may have stopped at a name that is not known here: the grammar says whether it is a query.
        Parsed::Whole if checker.is_query(statement) || checker.is_explanation(statement) => Ok(()),
        Parsed::Whole => Err("is neither a query nor an EXPLAIN; agents only read".to_owned()),
    }
}

/// The one statement of a text, if it is of a size that may be given to SQLite.
pub(crate) fn statement(sql: &str) -> Result<&str, String> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(format!("is longer than {MAX_SQL_BYTES} bytes"));
    }
    if sql.contains('\0') {
        return Err("has a NUL character in it".to_owned());
    }
    let tokens = tokens(sql);
    let statements = statements(sql, &tokens);
    let statement = match statements.as_slice() {
        [] => return Err("cannot be empty".to_owned()),
        [statement] => *statement,
        several => return Err(format!("holds {} statements; agents run one", several.len())),
    };
    size::weight(&tokens, &BTreeMap::new()).ok_or(TOO_LARGE)?;
    Ok(statement)
}

/// Why agents probably cannot run `sql`, which is saved all the same: their SQLite may know more than this one. `None` for
/// texts that are refused elsewhere, because they are empty or too long.
pub fn doubt(sql: &str) -> Option<String> {
    if sql.trim().is_empty() || sql.len() > MAX_SQL_BYTES || sql.contains('\0') {
        return None;
    }
    check(sql).err().map(|reason| format!("the SQL {reason}; it is kept, but agents probably cannot run it"))
}

/// What SQLite makes of a statement.
enum Parsed {
    /// All of it was parsed; names in it may be unknown.
    Whole,
    /// It is a pragma that only reads.
    ReadsPragma,
    /// What it does besides reading.
    Writes(String),
    Fails(String),
}

/// What the authorizer was asked for while a statement was parsed.
#[derive(Default)]
struct Noted {
    pragma: bool,
    refused: Option<String>,
}

/// A database in memory that only parses. SQLite carries out some pragmas while it parses them, for the whole process:
/// so whatever does more than read is refused before that.
struct Checker {
    connection: Connection,
    asked: Arc<Mutex<Noted>>,
}

impl Checker {
    fn new() -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        let asked = Arc::new(Mutex::new(Noted::default()));
        let noted = Arc::clone(&asked);
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.pragma |= matches!(context.action, AuthAction::Pragma { .. });
            match beyond_reading(&context.action) {
                None => Authorization::Allow,
                Some(what) => {
                    noted.refused = Some(what);
                    Authorization::Deny
                }
            }
        }))?;
        Ok(Self { connection, asked })
    }

    fn parse(&self, sql: &str) -> Parsed {
        let outcome = self.connection.prepare(sql).map(|statement| statement.readonly());
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        match outcome {
            Ok(true) if asked.pragma => Parsed::ReadsPragma,
            Ok(true) => Parsed::Whole,
            // VACUUM asks for nothing.
            Ok(false) => Parsed::Writes("it writes".to_owned()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::AuthorizationForStatementDenied) => {
                Parsed::Writes(asked.refused.unwrap_or_else(|| "it does more than read".to_owned()))
            }
            Err(error) if is_syntax_error(&error) => {
                let reason = error.to_string();
                Parsed::Fails(reason.split(" in ").next().unwrap_or(&reason).to_owned())
            }
            Err(_) => Parsed::Whole,
        }
    }

    /// Whether the statement can stand where only queries can. After `FROM` a table could: `reindex` is a name, too.
    fn is_query(&self, statement: &str) -> bool {
        !matches!(self.parse(&format!("SELECT EXISTS (\n{statement}\n)")), Parsed::Fails(_))
    }

    /// Whether it is an `EXPLAIN`: the only statement that cannot be explained.
    fn is_explanation(&self, statement: &str) -> bool {
        matches!(self.parse(&format!("EXPLAIN {statement}")), Parsed::Fails(_))
    }
}

fn is_syntax_error(error: &Error) -> bool {
    let message = error.to_string();
    SYNTAX_ERRORS.iter().any(|words| message.contains(words))
}

/// What an action of a statement does beyond reading; `None` if it only reads.
pub(crate) fn beyond_reading(action: &AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => None,
        AuthAction::Pragma { pragma_name, pragma_value } => {
            let is_one_of = |names: &[&str]| names.iter().any(|name| pragma_name.eq_ignore_ascii_case(name));
            let reads = is_one_of(&READING_PRAGMAS) || (pragma_value.is_none() && is_one_of(&SETTINGS));
            (!reads).then(|| format!("the pragma {pragma_name:?} may change something"))
        }
        AuthAction::Attach { .. } => Some("it attaches a database".to_owned()),
        AuthAction::Detach { .. } => Some("it detaches a database".to_owned()),
        _ => Some("it writes".to_owned()),
    }
}

/// The statements: parts between semicolons that are not only white space and comments.
fn statements<'a>(sql: &'a str, tokens: &[Token<'_>]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut begin = 0;
    let mut is_in_statement = false;
    for token in tokens {
        if token.kind != TokenKind::Semicolon {
            is_in_statement = true;
            continue;
        }
        if is_in_statement {
            found.extend(sql.get(begin..token.at));
        }
        begin = token.at + 1;
        is_in_statement = false;
    }
    if is_in_statement {
        found.extend(sql.get(begin..));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_nobody_knows_here_are_fine() {
        for good in [
            "select * from osquery_info",
            "SELECT 1;",
            "select ';' as a -- and a comment; with one\n;",
            "/* note; */ select name from processes where path like '%;%'",
            "with recursive n(i) as (select 1 union all select i + 1 from n limit 3) select * from n",
            "WITH p AS (SELECT pid FROM processes) SELECT * FROM p JOIN x USING (pid) -- done",
            "VALUES (1), (2)",
            "select * from system_info where not exists (select * from processes where name like \"%Chat%\")",
            "select regex_match(path, 'a', 0), json_extract(x, '$.a') from file order by 1 limit 3",
            "select * from pragma_table_info('processes')",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn comments_pragmas_that_read_and_explanations_are_fine() {
        for good in [
            "-- all of them\nselect * from processes",
            "/* a */ -- b\n /* c */ ; select 1 from users",
            "PRAGMA table_info(processes)",
            "pragma Table_Xinfo('users');",
            "PRAGMA main.table_list",
            "PRAGMA database_list",
            "PRAGMA compile_options",
            "PRAGMA user_version",
            "EXPLAIN QUERY PLAN SELECT * FROM processes WHERE pid = 1",
            "explain select * from users",
            "-- why is it slow?\nEXPLAIN QUERY PLAN WITH p AS (SELECT 1) SELECT * FROM p, processes",
            "EXPLAIN PRAGMA table_info(x)",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_cannot_run_is_refused() {
        for (bad, reason) in [
            ("", "empty"),
            ("  -- nothing\n", "empty"),
            ("selct 1", "parse"),
            ("select 1 frm x y z", "parse"),
            ("select (1", "parse"),
            ("select 'open", "parse"),
            ("explain explain select 1", "parse"),
            ("select 1; select 2", "2 statements"),
            ("select 1;\u{a0}", "2 statements"),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn what_does_more_than_read_is_refused() {
        for bad in [
            "PRAGMA hard_heap_limit=1000",
            "/* a */ explain pragma soft_heap_limit=1",
            "PRAGMA soft_heap_limit(1)",
            "PRAGMA cache_size",
            "PRAGMA mmap_size = 0",
            "PRAGMA temp_store_directory = '/tmp'",
            "PRAGMA journal_mode = wal",
            "PRAGMA user_version = 7",
            "PRAGMA nobody_knows",
            "attach 'x' as y",
            "ATTACH path AS y",
            "detach main",
            "VACUUM",
            "vacuum into '/tmp/copy.db'",
            "EXPLAIN VACUUM INTO '/tmp/copy.db'",
            "insert into processes values (1)",
            "INSERT INTO processes (pid) SELECT 1",
            "replace into users values (1)",
            "update processes set pid = 1 where name = 'x'",
            "delete from processes",
            "WITH p AS (SELECT 1) DELETE FROM processes WHERE pid IN p",
            "create table x (y)",
            "create temp view v as select * from users",
            "create index i on users (uid)",
            "drop table processes",
            "drop view if exists v",
            "alter table users rename to others",
            "reindex",
            "reindex users",
            "analyze",
            "begin",
            "commit",
            "savepoint a",
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains("only read"), "{bad}: {error}");
        }
    }

    #[test]
    fn what_would_take_all_memory_is_refused_before_sqlite_sees_it() {
        let mut sql = "WITH a0 AS (SELECT 1 AS x)".to_owned();
        (1..40).for_each(|at| sql.push_str(&format!(", a{at} AS (SELECT l.x FROM a{0} AS l, a{0})", at - 1)));
        sql.push_str(" SELECT * FROM a39");
        assert!(check(&sql).unwrap_err().contains("too often"));
        assert!(
            check(&format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000))).unwrap_err().contains("too deeply")
        );
    }

    #[test]
    fn saved_sql_is_doubted_only_where_agents_would_fail() {
        for fine in ["select * from processes", "", " ", "select '\0'"] {
            assert_eq!(doubt(fine), None, "{fine}");
        }
        for doubtful in ["selec * fro uptime", "select 1; drop table x", "-- nothing"] {
            assert!(doubt(doubtful).unwrap().ends_with("agents probably cannot run it"), "{doubtful}");
        }
    }

    #[test]
    fn checking_a_pragma_leaves_the_process_as_it_is() {
        let limit = || -> i64 {
            Connection::open_in_memory().unwrap().query_row("PRAGMA soft_heap_limit", [], |row| row.get(0)).unwrap()
        };
        let before = limit();
        for pragma in ["PRAGMA soft_heap_limit = 12345", "EXPLAIN PRAGMA soft_heap_limit = 12345"] {
            check(pragma).unwrap_err();
        }
        assert_eq!(limit(), before);
    }
}
