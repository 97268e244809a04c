//! Answers of hosts, read row by row: each may be some MiB of anything, and a page or a part of a file shows little of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;

use crate::fleet::live::ResultLine;

/// What stands in an answer that cannot be read, which a newer version may have kept.
const UNREADABLE: &str = "this version cannot read the answer";

/// What a host has answered.
#[derive(Debug, Deserialize)]
pub(super) struct HostAnswer {
    pub host_id: i64,
    pub hostname: String,
    rows: Box<RawValue>,
    /// Bytes of `rows` that were read.
    #[serde(skip)]
    read: usize,
    /// Why there are no rows.
    #[serde(default)]
    pub error: Option<String>,
}

impl HostAnswer {
    pub(super) fn of(line: &ResultLine) -> Self {
        serde_json::from_slice(&line.text).unwrap_or_else(|error| {
            tracing::warn!(%error, "an answer to a live query cannot be read");
            let host_id = line.host().map_or(0, u64::cast_signed);
            let error = Some(UNREADABLE.to_owned());
            Self { host_id, hostname: String::new(), rows: RawValue::NULL.to_owned(), read: 0, error }
        })
    }

    /// The next row; `None` behind the last one.
    pub(super) fn next(&mut self) -> Option<&RawValue> {
        let rest = self.rows.get().get(self.read..)?;
        let row = rest.trim_start_matches(|char: char| char.is_ascii_whitespace() || matches!(char, '[' | ','));
        let mut values = serde_json::Deserializer::from_str(row).into_iter::<&RawValue>();
        // What is no list has no rows, and behind the last row is the end of the list.
        let value = values.next()?.ok().filter(|_| self.rows.get().starts_with('['))?;
        self.read += rest.len() - row.len() + values.byte_offset();
        Some(value)
    }
}

/// Hands over each column of a row and what stands there. Anything but an object has none.
pub(super) fn cells(row: &RawValue, take: impl FnMut(Cow<'_, str>, &RawValue)) {
    let _ = serde_json::Deserializer::from_str(row.get()).deserialize_map(Cells(take));
}

/// The text of a cell: that of a string, nothing for null, and else JSON.
pub(super) fn text(value: &RawValue) -> Cow<'_, str> {
    match value.get() {
        "null" => Cow::Borrowed(""),
        json if json.starts_with('"') => serde_json::from_str(json).map_or(Cow::Borrowed(json), Cow::Owned),
        json => Cow::Borrowed(json),
    }
}

struct Cells<F>(F);

impl<'de, F: FnMut(Cow<'_, str>, &RawValue)> Visitor<'de> for Cells<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some((column, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            (self.0)(column, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> HostAnswer {
        HostAnswer::of(&ResultLine { cursor: 1, text: text.as_bytes().to_vec() })
    }

    fn all(text: &str) -> Vec<Vec<(String, String)>> {
        let (mut answer, mut rows) = (answer(text), Vec::new());
        while let Some(row) = answer.next() {
            let mut row_cells = Vec::new();
            cells(row, |column, value| row_cells.push((column.into_owned(), self::text(value).into_owned())));
            rows.push(row_cells);
        }
        rows
    }

    #[test]
    fn rows_are_read_one_by_one_as_they_came() {
        let rows = all(
            r#"{"host_id":7,"hostname":"a","state":"answered","rows":[{"b":"1,\"}]","a":null} , {},{"c":[1, {"d":2}]}],"at":"x"}"#,
        );
        let text = |text: &str| text.to_owned();
        let expected = vec![
            vec![(text("b"), text("1,\"}]")), (text("a"), text(""))],
            vec![],
            vec![(text("c"), text("[1, {\"d\":2}]"))],
        ];
        assert_eq!(rows, expected);
        for none in ["[]", " [ ] ", "null", "{}", "7", "\"[1]\""] {
            assert!(all(&format!("{{\"host_id\":7,\"hostname\":\"a\",\"rows\":{none}}}")).is_empty(), "{none}");
        }
        assert_eq!(all(r#"{"host_id":7,"hostname":"a","rows":[1,"x",{"a":"b"}]}"#).len(), 3, "also what is no row");
    }

    #[test]
    fn an_answer_that_cannot_be_read_says_so() {
        let answer = answer("{\"host_id\":7,\"rows\":[{\"a\":1}]}");
        assert_eq!((answer.host_id, answer.error.as_deref()), (7, Some(UNREADABLE)));
    }
}
