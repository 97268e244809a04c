//! The first answers to a live query, as a table of a page.

use serde_json::value::RawValue;

use super::answer::{HostAnswer, cells, text};
use crate::fleet::access::Principal;
use crate::fleet::{Fleet, Result};

/// Rows of answers on a page.
const ROWS: usize = 200;

/// Most columns of a table.
const COLUMNS: usize = 30;

/// Characters of a cell, and of the name of a column.
const CELL: usize = 200;

/// Bytes of the texts of all cells. Each may take some more as markup.
const TEXT: usize = 128 * 1024;

/// Bytes of answers that are read for a page.
const READ: usize = 4 << 20;

/// Hosts without rows that are shown, and characters of what each says.
const FAILURES: usize = 50;
const REASON: usize = 300;

/// The beginning of a text, and how many characters it has beyond.
#[derive(Debug, Default, Clone)]
pub(super) struct TextStart {
    pub start: String,
    pub more: usize,
}

impl TextStart {
    fn of(text: &str, most: usize) -> Self {
        let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
        Self { start: text[..end].to_owned(), more: text[end..].chars().count() }
    }
}

/// A row, and the host that it is of.
#[derive(Debug)]
pub(super) struct TableRow {
    pub host_id: i64,
    pub hostname: String,
    /// By the columns of the table; those at the end may lack.
    pub cells: Vec<TextStart>,
}

/// A host that said something else than rows.
#[derive(Debug)]
pub(super) struct FailedHost {
    pub host_id: i64,
    pub hostname: String,
    pub reason: TextStart,
}

/// The first answers, as rows of a table.
#[derive(Debug, Default)]
pub(super) struct AnswerTable {
    pub columns: Vec<String>,
    pub rows: Vec<TableRow>,
    pub failures: Vec<FailedHost>,
    /// Whether there are answers, or rows of one, that the table does not have.
    pub has_more: bool,
    /// Whether the rows have columns that the table does not have.
    pub lacks_columns: bool,
    /// Bytes of texts.
    bytes: usize,
}

impl AnswerTable {
    /// Reads the first answers, as many as a page shows.
    ///
    /// # Errors
    /// As for [`Live::follow`](crate::fleet::live::Live::follow).
    pub(super) async fn read(fleet: &Fleet, by: &Principal, id: i64) -> Result<Self> {
        let mut follower = fleet.live.follow(by, id, 0).await?;
        let (mut table, mut read) = (Self::default(), 0);
        loop {
            let lines = follower.read().await?;
            if lines.is_empty() {
                return Ok(table);
            }
            for line in &lines {
                if table.is_full() || read > READ {
                    table.has_more = true;
                }
                if table.has_more {
                    return Ok(table);
                }
                read += line.text.len();
                table.add(HostAnswer::of(line));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= ROWS || self.bytes >= TEXT
    }

    fn add(&mut self, mut answer: HostAnswer) {
        let hostname: String = answer.hostname.chars().take(CELL).collect();
        if let Some(reason) = &answer.error {
            if self.failures.len() < FAILURES {
                let reason = TextStart::of(reason, REASON);
                self.failures.push(FailedHost { host_id: answer.host_id, hostname, reason });
            }
            return;
        }
        let host_id = answer.host_id;
        while let Some(row) = answer.next() {
            if self.is_full() {
                self.has_more = true;
                return;
            }
            let cells = self.cells(row);
            self.bytes += hostname.len() + cells.iter().map(|cell| cell.start.len()).sum::<usize>();
            self.rows.push(TableRow { host_id, hostname: hostname.clone(), cells });
        }
    }

    /// The cells of a row in the order of the columns, which may be new.
    fn cells(&mut self, row: &RawValue) -> Vec<TextStart> {
        let mut found = vec![TextStart::default(); self.columns.len()];
        cells(row, |column, value| {
            let known = self.columns.iter().position(|known| *known == column);
            let position = match known {
                Some(position) => position,
                None if self.columns.len() < COLUMNS && column.chars().nth(CELL).is_none() => {
                    self.columns.push(column.into_owned());
                    found.push(TextStart::default());
                    self.columns.len() - 1
                }
                // The exports have it.
                None => {
                    self.lacks_columns = true;
                    return;
                }
            };
            if let Some(cell) = found.get_mut(position) {
                *cell = TextStart::of(&text(value), CELL);
            }
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fleet::live::ResultLine;

    fn table(rows: &serde_json::Value) -> AnswerTable {
        let line = json!({ "host_id": 1, "hostname": "a", "rows": rows }).to_string();
        let mut table = AnswerTable::default();
        table.add(HostAnswer::of(&ResultLine { cursor: 1, text: line.into_bytes() }));
        table
    }

    #[test]
    fn a_table_has_the_first_rows_of_one_answer() {
        let many = table(&json!(vec![json!({}); 100_000]));
        assert_eq!((many.rows.len(), many.has_more), (ROWS, true));
        let few = table(&json!([{ "a": "1" }, { "b": 2 }]));
        assert_eq!(few.rows[1].cells[1].start, "2");
        assert_eq!((few.has_more, few.lacks_columns), (false, false));
        assert_eq!((few.columns, few.rows.len()), (vec!["a".to_owned(), "b".to_owned()], 2));
    }

    #[test]
    fn cells_columns_and_all_texts_are_bounded() {
        let long = "é".repeat(1_000_000);
        let wide: serde_json::Map<String, _> =
            (0..100).map(|column| (format!("{column}"), json!(long[..10_000]))).collect();
        let table = table(&json!([{ &long: "x", "long": long }, wide, wide]));
        assert_eq!((table.columns.len(), table.lacks_columns, table.has_more), (COLUMNS, true, false));
        assert_eq!((table.rows[0].cells[0].start.chars().count(), table.rows[0].cells[0].more), (CELL, 999_800));
        let many = self::table(&json!(vec![
            json!({ "a": "x".repeat(CELL), "b": "y".repeat(CELL), "c": "z".repeat(400), "d": "x".repeat(200), "e": "x".repeat(200) });
            500
        ]));
        assert!(many.has_more && many.bytes < TEXT + COLUMNS * CELL * 4, "{}", many.bytes);
    }
}
