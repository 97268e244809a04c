use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::json_text;
use super::scan::{JsonValue, ValueIndex, ValueKind};

/// The rows of one live query's answer, left in the body until they are asked for: a huge answer
/// can be cut or streamed row by row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows<'a>(Option<JsonValue<'a>>);

/// Where rows stand in their body, without the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowsIndex(Option<ValueIndex>);

impl RowsIndex {
    /// The rows; `body` is the one they were found in.
    pub(super) fn of(self, body: &[u8]) -> Rows<'_> {
        Rows(self.0.map(|index| index.of(body)))
    }
}

/// One row, not yet decoded.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a>(JsonValue<'a>);

impl<'a> Rows<'a> {
    /// `None` if the value is something else than a list of objects or an empty value.
    pub(super) fn of(value: JsonValue<'a>) -> Option<Self> {
        match value.kind() {
            ValueKind::Array => value.only_objects().then_some(Self(Some(value))),
            ValueKind::Object => None,
            _ => value.is_empty().then_some(Self(None)),
        }
    }

    pub(super) fn index(&self) -> RowsIndex {
        RowsIndex(self.0.map(|value| value.index()))
    }

    /// Known without counting.
    pub fn row_count(&self) -> usize {
        self.0.map_or(0, |value| value.children())
    }

    pub fn is_empty(&self) -> bool {
        self.row_count() == 0
    }

    /// The JSON text of the whole list as it came, invalid UTF-8 included; `[]` if there are no
    /// rows.
    pub fn raw(&self) -> &'a [u8] {
        self.0.map_or(b"[]", |value| value.raw())
    }

    /// The rows in the agent's order. Each call scans them once, as far as it is followed.
    pub fn iter(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        self.0.into_iter().flat_map(|value| value.elements()).map(Row)
    }

    /// All rows decoded as by [`Row::columns`]. Takes many times the memory of the JSON text; meant
    /// for small answers.
    pub fn decode(&self) -> Vec<Vec<(String, String)>> {
        self.iter()
            .map(|row| row.columns().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
            .collect()
    }
}

impl<'a> Row<'a> {
    /// The JSON text of the row as it came, invalid UTF-8 included.
    pub fn raw(&self) -> &'a [u8] {
        self.0.raw()
    }

    pub fn column_count(&self) -> usize {
        self.0.children()
    }

    /// Names and values in the order they came, which is that of the SELECT. Agents send strings;
    /// numbers and booleans are given as written, null as "", lists and objects as their JSON text.
    /// What is not UTF-8 becomes U+FFFD. Agents never repeat a name; if someone does, every
    /// occurrence is given, and the last one counts.
    pub fn columns(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        self.0.members().map(|member| {
            let value = member.value.text().unwrap_or_else(|| String::from_utf8_lossy(member.value.raw()));
            (member.key.text().unwrap_or_default(), value)
        })
    }

    /// Appends the row as JSON text: an object of strings that says what [`Row::columns`] says, and where a name is
    /// repeated only what it says last. Valid whatever the agent sent. False, and nothing is appended, when `out` would
    /// become longer than `max_len`. Besides `out` it takes a few bytes for each column, and a copy of one value where
    /// that is not JSON text as it came.
    pub fn write_json(&self, out: &mut Vec<u8>, names: &mut ColumnNames, max_len: usize) -> bool {
        let start = out.len();
        let fits = self.write_within(out, names, max_len);
        if !fits {
            out.truncate(start);
        }
        fits
    }

    fn write_within(&self, out: &mut Vec<u8>, names: &mut ColumnNames, max_len: usize) -> bool {
        names.count(self);
        let mut before: &[u8] = b"{";
        for member in self.0.members() {
            if names.comes_again(member.key) {
                continue;
            }
            let fits = json_text::within(out, before, max_len)
                && json_text::write(member.key, out, max_len)
                && json_text::within(out, b":", max_len)
                && json_text::write(member.value, out, max_len);
            if !fits {
                return false;
            }
            before = b",";
        }
        json_text::within(out, if before == b"{" { b"{}" } else { b"}" }, max_len)
    }
}

/// The names of the columns of one row after the other, to find those that are repeated. A name is known by a hash that
/// nobody can foresee.
#[derive(Debug, Default)]
pub struct ColumnNames {
    hasher: RandomState,
    hashes: Vec<u64>,
    /// Those of one row that are repeated, with how often they are still to come.
    repeated: HashMap<u64, usize>,
}

impl ColumnNames {
    fn count(&mut self, row: &Row<'_>) {
        self.hashes.clear();
        self.repeated.clear();
        self.hashes.extend(row.0.members().map(|member| hash(&self.hasher, member.key)));
        self.hashes.sort_unstable();
        for same in self.hashes.chunk_by(|a, b| a == b) {
            if let [hash, _, ..] = same {
                self.repeated.insert(*hash, same.len());
            }
        }
    }

    fn comes_again(&mut self, name: JsonValue<'_>) -> bool {
        if self.repeated.is_empty() {
            return false;
        }
        let Some(left) = self.repeated.get_mut(&hash(&self.hasher, name)) else { return false };
        *left -= 1;
        *left > 0
    }
}

fn hash(hasher: &RandomState, name: JsonValue<'_>) -> u64 {
    hasher.hash_one(name.text().unwrap_or_default().as_ref())
}
