use muster_api::rest::LiveAnswer;

use super::spool::Spool;
use super::{AnswerWriter, Emit};
use crate::commands::query::tally::error;
use crate::output::printable;
use crate::table;

/// Maximum bytes of rows in one table.
const LIMIT: u64 = 32 << 20;

/// Prints a table per host when it answers.
pub struct HostTableWriter;

/// Prints one table of all hosts at the end.
pub struct TableWriter {
    spool: Spool,
}

impl TableWriter {
    pub fn new() -> Self {
        Self { spool: Spool::new("table", LIMIT) }
    }
}

impl AnswerWriter for HostTableWriter {
    fn answer(&mut self, answer: LiveAnswer, emit: Emit<'_>) -> anyhow::Result<()> {
        if answer.rows.is_empty() {
            // Failures go to standard error.
            return match error(&answer) {
                Some(_) => Ok(()),
                None => emit(&format!("{}: no rows\n", printable(&answer.hostname))),
            };
        }
        let mut spool = Spool::new("table", u64::MAX);
        spool.add(&answer)?;
        emit(&grid(&mut spool)?)
    }

    fn finish(&mut self, _emit: Emit<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

impl AnswerWriter for TableWriter {
    fn answer(&mut self, answer: LiveAnswer, _emit: Emit<'_>) -> anyhow::Result<()> {
        self.spool.add(&answer)
    }

    fn finish(&mut self, emit: Emit<'_>) -> anyhow::Result<()> {
        if self.spool.is_empty() {
            return Ok(());
        }
        emit(&grid(&mut self.spool)?)
    }
}

fn grid(spool: &mut Spool) -> anyhow::Result<String> {
    let columns: Vec<String> = spool.columns().iter().map(|column| printable(column)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let rows = spool.rows()?.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(table::grid(&columns, rows))
}
