//! Names of tables, as the server of the context knows them.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;
use muster_api::rest::FleetSchema;

use super::server::{self, MOST};
use crate::rest::segment;

/// Names of tables that begin as a word does.
pub fn tables(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(begun) = current.to_str() else { return Vec::new() };
    beginning_with(begun).into_iter().map(CompletionCandidate::new).collect()
}

/// SQL with its last word completed, if that is the name of a table.
pub fn in_sql(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some((before, begun)) = current.to_str().and_then(last_table) else { return Vec::new() };
    beginning_with(begun).into_iter().map(|name| CompletionCandidate::new(format!("{before}{name}"))).collect()
}

/// SQL up to its last word, and that word, if it stands where a table is named.
fn last_table(sql: &str) -> Option<(&str, &str)> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (before, begun) = sql.split_at(sql.trim_end_matches(is_of_name).len());
    let (mut is_in_list, mut is_next) = (false, false);
    for word in before.split_whitespace().flat_map(|words| words.split_inclusive(',')) {
        let (name, has_comma) = word.strip_suffix(',').map_or((word, false), |name| (name, true));
        match name.trim_matches(['(', ')']).to_ascii_lowercase().as_str() {
            "from" | "join" => (is_in_list, is_next) = (true, true),
            "select" | "where" | "on" | "using" | "order" | "group" | "having" | "limit" | "union" => {
                (is_in_list, is_next) = (false, false);
            }
            _ => is_next = false,
        }
        is_next |= has_comma && is_in_list;
    }
    (is_next && before.ends_with(|letter: char| letter.is_whitespace() || letter == ',')).then_some((before, begun))
}

fn beginning_with(begun: &str) -> Vec<String> {
    let begun = begun.to_ascii_lowercase();
    server::ask(async |server, words| {
        let platforms = ["--platforms", "--platform"].iter().find_map(|name| server::written(words, name));
        let platform = platforms.map(|words| format!("&platform={}", segment(&words))).unwrap_or_default();
        let path = format!("schema?names_only=true&query={}{platform}", segment(&begun));
        let schema: FleetSchema = server.get(&path).await.ok()?;
        let names = schema.tables.into_iter().map(|table| table.name).filter(|name| name.starts_with(&begun));
        Some(names.take(MOST).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_behind_some_words() {
        let completed = |sql| last_table(sql).map(|(_, begun)| begun);
        for (sql, begun) in [
            ("SELECT * FROM pro", Some("pro")),
            ("select 1 from ", Some("")),
            ("select * from users u join pro", Some("pro")),
            ("select * from users, pro", Some("pro")),
            ("select * from users u,pro", Some("pro")),
            ("SELECT * FROM", None),
            ("", None),
            ("pro", None),
            ("SELECT pid, na", None),
            ("SELECT * FROM users u", None),
            ("SELECT * FROM users WHERE ui", None),
            ("SELECT * FROM users ORDER BY uid, na", None),
            ("SELECT (SELECT 1 FROM pro", Some("pro")),
            ("SELECT 'naïve' FROM pro", Some("pro")),
        ] {
            assert_eq!(completed(sql), begun, "{sql}");
        }
        assert_eq!(last_table("SELECT * FROM pro"), Some(("SELECT * FROM ", "pro")));
    }
}
