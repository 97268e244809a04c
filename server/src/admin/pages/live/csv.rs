//! The answers to a live query as comma-separated values, a line for each row.
//!
//! The columns come first, so the answers are read twice: about a MiB of them at a time, in turn with what else the reader
//! reads. What comes after the first reading has begun to end is left to another export.

use std::collections::{HashMap, VecDeque};

use actix_web::web::Bytes;
use serde_json::value::RawValue;

use super::answer::{HostAnswer, cells, text};
use crate::admin::lists::{TextParts, add_cell};
use crate::fleet::access::Principal;
use crate::fleet::live::{Follower, ResultLine};
use crate::fleet::{Error, Fleet, Result};

/// Bytes of a part, and one row more.
const PART: usize = 1 << 20;

/// Most columns of a file, and bytes of their names.
const MAX_COLUMNS: usize = 1_000;
const MAX_NAMES: usize = 1 << 20;

/// Columns before those that hosts send.
const OWN: [&str; 3] = ["host_id", "hostname", "error"];

/// Before the names of columns that hosts send and that are called as one of ours.
const THEIRS: &str = "answer_";

/// The columns that hosts have sent, in the order in which they came.
#[derive(Debug, Default)]
struct AnswerColumns {
    positions: HashMap<String, usize>,
    names: Vec<String>,
    bytes: usize,
}

impl AnswerColumns {
    /// Takes up the columns of an answer.
    fn add(&mut self, mut answer: HostAnswer) -> Result<()> {
        while let Some(row) = answer.next() {
            cells(row, |column, _| {
                if self.is_too_large() || self.positions.contains_key(&*column) {
                    return;
                }
                self.bytes += column.len();
                self.positions.insert(column.clone().into_owned(), self.names.len());
                self.names.push(column.into_owned());
            });
        }
        if self.is_too_large() {
            let most = format!("{MAX_COLUMNS} columns or {} MiB of their names", MAX_NAMES >> 20);
            return Err(Error::invalid("columns", format!("the answers have more than {most}; export JSON lines")));
        }
        Ok(())
    }

    fn is_too_large(&self) -> bool {
        self.names.len() > MAX_COLUMNS || self.bytes > MAX_NAMES
    }

    /// The names, each once in the file.
    fn shown(&self) -> Vec<String> {
        let is_taken = |name: &str| OWN.contains(&name) || self.positions.contains_key(name);
        let show = |name: &String| {
            let mut shown = name.clone();
            while OWN.contains(&shown.as_str()) || (shown != *name && is_taken(&shown)) {
                shown.insert_str(0, THEIRS);
            }
            shown
        };
        self.names.iter().map(show).collect()
    }

    /// Writes an answer to its end or that of a part. Whether it was written whole.
    fn write(&self, answer: &mut HostAnswer, out: &mut String) -> Result<bool> {
        let (id, hostname) = (answer.host_id.to_string(), answer.hostname.clone());
        if let Some(error) = answer.error.take() {
            let own = [id.as_str(), &hostname, &error];
            line(own.into_iter().chain(self.names.iter().map(|_| "")), out);
            return Ok(true);
        }
        while out.len() < PART {
            let Some(row) = answer.next() else { return Ok(true) };
            let cells = self.cells(row).ok_or_else(changed)?;
            line([id.as_str(), &hostname, ""].into_iter().chain(cells.iter().map(String::as_str)), out);
        }
        Ok(false)
    }

    /// The cells of a row by their columns. `None` for a row with a column that no answer had before.
    fn cells(&self, row: &RawValue) -> Option<Vec<String>> {
        let mut found = vec![String::new(); self.names.len()];
        let mut is_known = true;
        cells(row, |column, value| match self.positions.get(&*column).and_then(|position| found.get_mut(*position)) {
            Some(cell) => *cell = text(value).into_owned(),
            None => is_known = false,
        });
        is_known.then_some(found)
    }
}

/// Answers that were read for their columns.
#[derive(Debug, Default)]
struct ReadAnswers {
    count: u64,
    /// The cursor of the last one.
    end: u64,
}

/// Answers as comma-separated values.
pub(super) struct AnswerCsv {
    fleet: Fleet,
    by: Principal,
    id: i64,
    follower: Follower,
    columns: AnswerColumns,
    /// What was read for the columns, and what of it was written.
    read: ReadAnswers,
    written: u64,
    has_begun: bool,
    waiting: VecDeque<ResultLine>,
    /// The answer that is being written.
    answer: Option<HostAnswer>,
    is_finished: bool,
}

impl AnswerCsv {
    /// # Errors
    /// As for [`Live::follow`](crate::fleet::live::Live::follow).
    pub(super) async fn begin(fleet: Fleet, by: Principal, id: i64) -> Result<Self> {
        let follower = fleet.live.follow(&by, id, 0).await?;
        Ok(Self {
            fleet,
            by,
            id,
            follower,
            columns: AnswerColumns::default(),
            read: ReadAnswers::default(),
            written: 0,
            has_begun: false,
            waiting: VecDeque::new(),
            answer: None,
            is_finished: false,
        })
    }

    /// Reads some answers for their columns. `false` when all were read.
    async fn read_columns(&mut self) -> Result<bool> {
        let lines = self.follower.read().await?;
        for line in &lines {
            self.columns.add(HostAnswer::of(line))?;
            self.read.count += 1;
            self.read.end = self.read.end.max(line.cursor);
        }
        Ok(!lines.is_empty())
    }

    /// The answer to go on with; `None` behind the last one.
    async fn answer(&mut self) -> Result<Option<HostAnswer>> {
        if let Some(begun) = self.answer.take() {
            return Ok(Some(begun));
        }
        if self.waiting.is_empty() {
            self.waiting = self.follower.read().await?.into();
        }
        let Some(line) = self.waiting.pop_front().filter(|line| line.cursor <= self.read.end) else {
            // Redis may have lost some meanwhile, or has others under the same cursors.
            return if self.written == self.read.count { Ok(None) } else { Err(changed()) };
        };
        self.written += 1;
        Ok(Some(HostAnswer::of(&line)))
    }
}

fn changed() -> Error {
    Error::Unavailable("the answers have changed while they were exported".to_owned())
}

impl TextParts for AnswerCsv {
    fn is_finished(&self) -> bool {
        self.is_finished
    }

    async fn next(&mut self) -> Result<Bytes> {
        let mut out = String::new();
        if !self.has_begun {
            if self.read_columns().await? {
                return Ok(Bytes::new());
            }
            self.has_begun = true;
            self.follower = self.fleet.live.follow(&self.by, self.id, 0).await?;
            let names = self.columns.shown();
            line(OWN.into_iter().chain(names.iter().map(String::as_str)), &mut out);
        }
        while out.len() < PART {
            let Some(mut answer) = self.answer().await? else {
                self.is_finished = true;
                break;
            };
            if !self.columns.write(&mut answer, &mut out)? {
                self.answer = Some(answer);
            }
        }
        Ok(out.into())
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, text: &mut String) {
    for (position, cell) in cells.enumerate() {
        if position > 0 {
            text.push(',');
        }
        add_cell(cell, text);
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(rows: &serde_json::Value) -> HostAnswer {
        let text = json!({ "host_id": 1, "hostname": "a", "rows": rows }).to_string();
        HostAnswer::of(&ResultLine { cursor: 1, text: text.into_bytes() })
    }

    /// A row of two bytes may stand for a line of a thousand commas.
    #[test]
    fn a_part_ends_within_an_answer() {
        let columns: serde_json::Map<String, _> =
            (0..MAX_COLUMNS).map(|column| (column.to_string(), "".into())).collect();
        let mut known = AnswerColumns::default();
        known.add(answer(&json!([columns]))).unwrap();
        let (mut hostile, mut parts, mut lines) = (answer(&json!(vec![json!({}); 10_000])), 0, 0);
        loop {
            let mut part = String::new();
            let is_whole = known.write(&mut hostile, &mut part).unwrap();
            assert!(part.len() < PART + 2 * MAX_COLUMNS, "{}", part.len());
            parts += 1;
            lines += part.matches("\r\n").count();
            if is_whole {
                break;
            }
        }
        assert_eq!((parts, lines), (10, 10_000));
    }

    /// No cell is dropped because its column was not there when the columns were read.
    #[test]
    fn a_column_that_nobody_had_is_no_good_end() {
        let mut known = AnswerColumns::default();
        known.add(answer(&json!([{ "a": "1" }]))).unwrap();
        let mut out = String::new();
        assert!(known.write(&mut answer(&json!([{ "a": "2" }])), &mut out).unwrap());
        assert_eq!(out, "1,a,,2\r\n");
        assert!(known.write(&mut answer(&json!([{ "a": "2", "b": "3" }])), &mut out).is_err());
    }

    #[test]
    fn columns_and_their_names_are_bounded() {
        let many: serde_json::Map<String, _> =
            (0..=MAX_COLUMNS).map(|column| (column.to_string(), "".into())).collect();
        assert!(AnswerColumns::default().add(answer(&json!([many]))).is_err());
        assert!(AnswerColumns::default().add(answer(&json!([{ "x".repeat(MAX_NAMES + 1): "" }]))).is_err());
    }

    #[test]
    fn columns_are_there_once() {
        let mut columns = AnswerColumns::default();
        columns.add(answer(&json!([{ "hostname": "b", "x": "1" }, { "answer_hostname": "c", "x": "2" }]))).unwrap();
        assert_eq!(columns.shown(), ["answer_answer_hostname", "x", "answer_hostname"]);
    }
}
