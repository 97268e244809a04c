use std::borrow::Cow;

use super::scan::{Kind, Value};

/// The rows of one live query's answer, left in the body until they are asked for: a huge answer
/// can be cut or streamed row by row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows<'a>(Option<Value<'a>>);

/// One row, not yet decoded.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a>(Value<'a>);

impl<'a> Rows<'a> {
    /// `None` if the value is something else than a list of objects or an empty value.
    pub(super) fn of(value: Value<'a>) -> Option<Self> {
        match value.kind() {
            Kind::Array => value.only_objects().then_some(Self(Some(value))),
            Kind::Object => None,
            _ => value.is_empty().then_some(Self(None)),
        }
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
}
