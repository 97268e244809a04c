//! Checks of SQL that SQLite can do without the agent's tables.

use rusqlite::Connection;

use super::names::MAX_SQL_BYTES;

/// Words in SQLite's message that mean a syntax error, and not an unknown table.
const SYNTAX_ERRORS: [&str; 3] = ["syntax error", "incomplete input", "unrecognized token"];

/// The first words that queries may have.
const READING: [&str; 3] = ["SELECT", "WITH", "VALUES"];

/// Checks that `sql` is one statement that SQLite can parse.
///
/// # Errors
/// What is wrong, as an error text for operators.
pub fn check(sql: &str) -> Result<(), String> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(format!("is longer than {MAX_SQL_BYTES} bytes"));
    }
    if sql.contains('\0') {
        return Err("has a NUL character in it".to_owned());
    }
    match statements(sql) {
        0 => return Err("cannot be empty".to_owned()),
        1 => {}
        n => return Err(format!("holds {n} statements; agents run one")),
    }
    // Agents only read; and SQLite carries out some pragmas while it parses them, for the whole process.
    if !READING.contains(&first_word(sql).to_ascii_uppercase().as_str()) {
        return Err(format!("does not begin with {}; agents only read", READING.join(" or ")));
    }
    let Ok(connection) = Connection::open_in_memory() else { return Ok(()) };
    match connection.prepare(sql) {
        Err(error) if SYNTAX_ERRORS.iter().any(|words| error.to_string().contains(words)) => {
            let reason = error.to_string();
            Err(format!("is not SQL that SQLite can parse: {}", reason.split(" in ").next().unwrap_or(&reason)))
        }
        _ => Ok(()),
    }
}

/// The first word after comments.
fn first_word(sql: &str) -> &str {
    let mut rest = sql.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '(');
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else {
            return rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        };
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '(');
    }
}

/// The number of statements: parts between semicolons that are not only white space and comments.
fn statements(sql: &str) -> usize {
    let mut count = 0;
    let mut is_in_statement = false;
    let mut rest = sql.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('-', Some('-')) => while rest.next().is_some_and(|c| c != '\n') {},
            ('/', Some('*')) => {
                let mut last = ' ';
                for c in rest.by_ref().skip(1) {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            ('\'' | '"' | '`', _) => {
                is_in_statement = true;
                while rest.next().is_some_and(|other| other != c) {}
            }
            ('[', _) => {
                is_in_statement = true;
                while rest.next().is_some_and(|c| c != ']') {}
            }
            (';', _) => {
                count += usize::from(is_in_statement);
                is_in_statement = false;
            }
            (c, _) if c.is_whitespace() => {}
            _ => is_in_statement = true,
        }
    }
    count + usize::from(is_in_statement)
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
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_cannot_run_is_refused() {
        for (bad, reason) in [
            ("", "empty"),
            ("  -- nothing\n", "empty"),
            ("selct 1", "only read"),
            ("select 1 frm x y z", "parse"),
            ("PRAGMA hard_heap_limit=1000", "only read"),
            ("/* a */ explain pragma soft_heap_limit=1", "only read"),
            ("attach 'x' as y", "only read"),
            ("select (1", "parse"),
            ("select 'open", "parse"),
            ("select 1; select 2", "2 statements"),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }
}
