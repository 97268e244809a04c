//! Names of tables, as the server of the context knows them. Whoever types waits for them, so the server has little time, and
//! whatever goes wrong is silent.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::CompletionCandidate;
use muster_api::rest::FleetSchema;

use crate::contexts::{self, Contexts, DEFAULT_CONTEXT};
use crate::rest::{RestClient, segment};

/// Time that the server has.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

/// Most names that are proposed.
const MOST: usize = 200;

/// Names that begin as a word does.
pub fn names(current: &OsStr) -> Vec<CompletionCandidate> {
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
    let words: Vec<String> = std::env::args().collect();
    let begun = begun.to_ascii_lowercase();
    let in_time = async { tokio::time::timeout(LONGEST_WAIT, known(&words, &begun)).await };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(Ok(Some(schema))) = runtime.map(|runtime| runtime.block_on(in_time)) else { return Vec::new() };
    let names = schema.tables.into_iter().map(|table| table.name).filter(|name| name.starts_with(&begun));
    names.take(MOST).collect()
}

async fn known(words: &[String], begun: &str) -> Option<FleetSchema> {
    let path = flag(words, "--config", "CONFIG").map(PathBuf::from).or_else(|| contexts::default_path().ok())?;
    let context = flag(words, "--context", "CONTEXT").unwrap_or_else(|| DEFAULT_CONTEXT.to_owned());
    let context = Contexts::open(path, &context).ok()?.current().ok()?;
    if context.token.is_empty() {
        return None;
    }
    let server = RestClient::new(&context, false).ok()?;
    let platforms = ["--platforms", "--platform"].iter().find_map(|name| written(words, name));
    let platform = platforms.map(|words| format!("&platform={}", segment(&words))).unwrap_or_default();
    server.get(&format!("schema?names_only=true&query={}{platform}", segment(begun))).await.ok()
}

/// The value of a flag of every command, which may stand in a variable.
fn flag(words: &[String], name: &str, variable: &str) -> Option<String> {
    written(words, name).or_else(|| std::env::var(variable).ok()).filter(|value| !value.is_empty())
}

/// The value of a flag in the words that are typed.
fn written(words: &[String], name: &str) -> Option<String> {
    let position = words.iter().position(|word| word.split('=').next() == Some(name))?;
    let value = match words[position].split_once('=') {
        Some((_, value)) => value,
        // Shells may have split at the sign.
        None => words[position + 1..].iter().find(|word| *word != "=")?,
    };
    Some(value.trim_matches(['"', '\'']).to_owned())
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

    #[test]
    fn flags_are_found_in_what_is_typed() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(written(&words("query --platforms linux --query x"), "--platforms").as_deref(), Some("linux"));
        assert_eq!(written(&words("query --platforms=linux"), "--platforms").as_deref(), Some("linux"));
        assert_eq!(written(&words("query --platforms = linux"), "--platforms").as_deref(), Some("linux"));
        assert_eq!(written(&words("query --platforms"), "--platforms"), None);
    }
}
