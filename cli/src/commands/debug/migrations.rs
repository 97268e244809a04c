//! Whether the database has the tables that the server needs.

use anyhow::Context as _;

use super::asked::NodeArgs;
use super::facts::MigrationState;
use crate::commands::ClientSession;
use crate::output;

const REMEDY: &str = "Fleet server must be run with \"prepare db\" to perform the migrations.";

pub async fn run(session: &ClientSession, args: &NodeArgs) -> anyhow::Result<()> {
    let answer = args.get(session, "migrations").await?;
    let state = serde_json::from_slice(&answer.bytes).context("cannot read the answer to debug/migrations")?;
    output::line(&output::printable(&in_words(&state)))
}

/// The texts of Fleet. What is missing and unknown counts for more than the code.
pub fn in_words(state: &MigrationState) -> String {
    let MigrationState { status_code, missing_table, missing_data, unknown_table, .. } = state;
    if !missing_table.is_empty() || !missing_data.is_empty() {
        let (tables, data) = (names(missing_table), names(missing_data));
        return format!("Missing migrations detected: tables=[{tables}], data=[{data}].\n{REMEDY}");
    }
    if !unknown_table.is_empty() {
        return format!("Unknown migrations detected: tables=[{}], data=[].", names(unknown_table));
    }
    match status_code {
        &MigrationState::NONE => format!("Your Fleet database is not initialized. Fleet cannot start up.\n{REMEDY}"),
        _ => "Migrations up-to-date.".to_owned(),
    }
}

/// Numbers, separated as Fleet separates them.
fn names(migrations: &[i64]) -> String {
    migrations.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn words(state: Value) -> String {
        in_words(&serde_json::from_value(state).unwrap())
    }

    #[test]
    fn states_have_the_words_of_fleet() {
        assert_eq!(words(json!({"status_code": 2})), "Migrations up-to-date.");
        let missing = words(json!({"status_code": 1, "missing_table": [20210101, 42], "missing_data": []}));
        assert_eq!(missing, format!("Missing migrations detected: tables=[20210101 42], data=[].\n{REMEDY}"));
        let unknown = words(json!({"status_code": 3, "unknown_table": [9999]}));
        assert_eq!(unknown, "Unknown migrations detected: tables=[9999], data=[].");
        assert!(words(json!({"status_code": 0})).contains("not initialized"));
    }
}
