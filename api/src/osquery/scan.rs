//! A scanner over JSON text that need not be UTF-8: it finds where values begin and end, and
//! decodes nothing by itself.
//!
//! Strict about structure (truncation, trailing data, literals, numbers, escapes), indifferent to
//! the bytes inside strings: invalid UTF-8, raw control characters and lone surrogate escapes all
//! pass. A byte order mark before the first value is skipped; no agent sends one, but nothing is
//! gained by refusing it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::cursor::Cursor;
use super::error::{BodyProblem, ReadError};
use super::text;

/// How deep objects and arrays may nest, the body itself counting as one. Agents refuse
/// configurations beyond 32 levels, and what they send is flat: a column of a result row is at
/// level 4.
pub const MAX_DEPTH: u32 = 64;

/// The kind of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A value that was scanned and found well-formed: a range of a body. Copying it copies no text.
#[derive(Clone, Copy)]
pub struct JsonValue<'a> {
    body: &'a [u8],
    start: usize,
    end: usize,
    children: usize,
    only_objects: bool,
}

/// Where a value stands in its body, and what is known of it, without the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueIndex {
    start: usize,
    end: usize,
    children: usize,
    only_objects: bool,
}

impl ValueIndex {
    /// The value; `body` is the one it was found in.
    pub(super) fn of(self, body: &[u8]) -> JsonValue<'_> {
        let Self { start, end, children, only_objects } = self;
        JsonValue { body, start, end, children, only_objects }
    }
}

/// One member of an object. `key` is always a string.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    pub key: JsonValue<'a>,
    pub value: JsonValue<'a>,
}

/// The members of the object that makes up the whole body. An error is the last thing it yields;
/// without one the whole body was well-formed.
pub fn members(body: &[u8]) -> Members<'_> {
    let start = if body.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    Members(Walk::new(Cursor::new(body, start, body.len()), b'{', b'}'))
}

impl<'a> JsonValue<'a> {
    pub(super) fn new(body: &'a [u8], start: usize, end: usize, children: usize, only_objects: bool) -> Self {
        Self { body, start, end, children, only_objects }
    }

    pub fn kind(&self) -> ValueKind {
        match self.body.get(self.start) {
            Some(b'{') => ValueKind::Object,
            Some(b'[') => ValueKind::Array,
            Some(b'"') => ValueKind::String,
            Some(b't' | b'f') => ValueKind::Bool,
            Some(b'n') => ValueKind::Null,
            _ => ValueKind::Number,
        }
    }

    /// The JSON text of the value, exactly as it came: strings with their quotes.
    pub fn raw(&self) -> &'a [u8] {
        self.body.get(self.range()).unwrap_or_default()
    }

    pub(super) fn index(&self) -> ValueIndex {
        let Self { start, end, children, only_objects, .. } = *self;
        ValueIndex { start, end, children, only_objects }
    }

    /// Where the value stands in the body.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// How many members or elements the value has; 0 if it is neither object nor array. Known
    /// without scanning again.
    pub fn children(&self) -> usize {
        self.children
    }

    /// Whether every element of an array (or member of an object) is an object. Known without
    /// scanning again.
    pub fn only_objects(&self) -> bool {
        self.only_objects
    }

    /// Null, or a string, array or object with nothing in it. Agents before 3.2 write `""` for
    /// every empty container.
    pub fn is_empty(&self) -> bool {
        match self.kind() {
            ValueKind::Null => true,
            ValueKind::String => self.end - self.start == 2,
            ValueKind::Object | ValueKind::Array => self.children == 0,
            ValueKind::Number | ValueKind::Bool => false,
        }
    }

    /// The value as text: strings decoded (invalid UTF-8 and lone surrogates become U+FFFD),
    /// numbers and booleans as they are written, null as "". `None` for objects and arrays.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self.kind() {
            ValueKind::String => Some(text::decode(self.inside())),
            ValueKind::Number | ValueKind::Bool => Some(String::from_utf8_lossy(self.raw())),
            ValueKind::Null => Some(Cow::Borrowed("")),
            ValueKind::Object | ValueKind::Array => None,
        }
    }

    /// Whether the value is this string, however it was escaped.
    pub fn is(&self, text: &str) -> bool {
        if self.kind() != ValueKind::String {
            return false;
        }
        let inside = self.inside();
        inside == text.as_bytes() || (inside.contains(&b'\\') && text::decode(inside) == text)
    }

    /// The members of an object, none for anything else.
    pub fn members(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        let walk = match self.kind() {
            ValueKind::Object => Walk::new(self.cursor(), b'{', b'}'),
            _ => Walk::over(self.cursor()),
        };
        // The text was checked when this value was made, so no error can end this early.
        Members(walk).map_while(Result::ok)
    }

    /// The elements of an array, none for anything else.
    pub fn elements(&self) -> impl Iterator<Item = JsonValue<'a>> + use<'a> {
        let mut walk = match self.kind() {
            ValueKind::Array => Walk::new(self.cursor(), b'[', b']'),
            _ => Walk::over(self.cursor()),
        };
        std::iter::from_fn(move || walk.item(|cursor| cursor.value(1)).and_then(Result::ok))
    }

    pub(super) fn wrong_type(&self, member: &'static str, expected: &'static str) -> ReadError {
        ReadError { offset: self.start, problem: BodyProblem::WrongType { member, expected } }
    }

    fn cursor(&self) -> Cursor<'a> {
        Cursor::new(self.body, self.start, self.end)
    }

    /// A string without its quotes.
    fn inside(&self) -> &'a [u8] {
        self.body.get(self.start + 1..self.end - 1).unwrap_or_default()
    }
}

/// Shows the kind and the offset only: bodies hold keys and other people's data.
impl fmt::Debug for JsonValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}..{}", self.kind(), self.start, self.end)
    }
}

/// See [`members`].
pub struct Members<'a>(Walk<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.item(|cursor| {
            let key = cursor.key()?;
            Ok(Member { key, value: cursor.value(1)? })
        })
    }
}

impl<'a> Members<'a> {
    /// As `next`. At a member called `name`, `index` becomes the ranges of the elements of its
    /// value, the first `limit` of them; no part of the body is scanned twice for it.
    pub(super) fn next_indexed(
        &mut self,
        name: &str,
        index: &mut Vec<Range<usize>>,
        limit: usize,
    ) -> Option<Result<Member<'a>, ReadError>> {
        self.0.item(|cursor| {
            let key = cursor.key()?;
            if !key.is(name) {
                return Ok(Member { key, value: cursor.value(1)? });
            }
            index.clear();
            let value = cursor.value_with(1, |range| {
                if index.len() < limit {
                    index.push(range);
                }
            })?;
            Ok(Member { key, value })
        })
    }
}

/// The commas and brackets around the items of one object or array.
struct Walk<'a> {
    cursor: Cursor<'a>,
    open: u8,
    close: u8,
    state: ScanState,
}

#[derive(PartialEq)]
enum ScanState {
    Before,
    Inside,
    Over,
}

impl<'a> Walk<'a> {
    fn new(cursor: Cursor<'a>, open: u8, close: u8) -> Self {
        Self { cursor, open, close, state: ScanState::Before }
    }

    fn over(cursor: Cursor<'a>) -> Self {
        Self { cursor, open: 0, close: 0, state: ScanState::Over }
    }

    fn item<T>(&mut self, read: impl FnOnce(&mut Cursor<'a>) -> Result<T, ReadError>) -> Option<Result<T, ReadError>> {
        let item = match self.advance() {
            Ok(true) => read(&mut self.cursor),
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        if item.is_err() {
            self.state = ScanState::Over;
        }
        Some(item)
    }

    /// Moves to the next item; false at the end.
    fn advance(&mut self) -> Result<bool, ReadError> {
        match self.state {
            ScanState::Over => return Ok(false),
            ScanState::Before => {
                if self.cursor.token()? != self.open {
                    return Err(self.cursor.error(BodyProblem::NotAnObject));
                }
                self.cursor.bump();
                self.state = ScanState::Inside;
                if self.cursor.token()? != self.close {
                    return Ok(true);
                }
            }
            ScanState::Inside => match self.cursor.token()? {
                b',' => {
                    self.cursor.bump();
                    return Ok(true);
                }
                byte if byte == self.close => {}
                _ => {
                    return Err(self.cursor.error(BodyProblem::Expected("a comma or the end of the object")));
                }
            },
        }
        self.cursor.bump();
        self.state = ScanState::Over;
        self.cursor.finish()?;
        Ok(false)
    }
}
