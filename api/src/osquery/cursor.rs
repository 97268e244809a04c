//! The only code that walks over JSON text.

use std::ops::Range;

use super::error::{BodyProblem, ReadError};
use super::scan::{JsonValue, MAX_DEPTH};

/// A position in a body. Every method either moves past what it names or fails; all of them are linear
/// and none recurses.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(body: &'a [u8], at: usize, end: usize) -> Self {
        Self { body, at, end: end.min(body.len()) }
    }

    pub(super) fn error(&self, problem: BodyProblem) -> ReadError {
        ReadError { offset: self.at, problem }
    }

    pub(super) fn bump(&mut self) {
        self.at += 1;
    }

    fn byte(&self, at: usize) -> Option<u8> {
        if at < self.end { self.body.get(at).copied() } else { None }
    }

    /// Skips whitespace and looks at the next byte.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    pub(super) fn token(&mut self) -> Result<u8, ReadError> {
        self.peek().ok_or_else(|| self.error(BodyProblem::EndOfBody))
    }

    /// Nothing but whitespace may be left.
    pub(super) fn finish(&mut self) -> Result<(), ReadError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error(BodyProblem::Trailing)),
        }
    }

    /// A member's name and the colon after it.
    pub(super) fn key(&mut self) -> Result<JsonValue<'a>, ReadError> {
        if self.token()? != b'"' {
            return Err(self.error(BodyProblem::Expected("a member name")));
        }
        let start = self.at;
        self.string()?;
        let key = JsonValue::new(self.body, start, self.at, 0, true);
        if self.token()? != b':' {
            return Err(self.error(BodyProblem::Expected("a colon")));
        }
        self.bump();
        Ok(key)
    }

    /// One value of any kind, with everything in it, standing inside `depth` open objects and
    /// arrays.
    pub(super) fn value(&mut self, depth: u32) -> Result<JsonValue<'a>, ReadError> {
        self.value_with(depth, |_| {})
    }

    /// As [`value`](Self::value). Calls `found` with the range of each element, or of each member's
    /// value, as soon as it has been passed.
    pub(super) fn value_with(
        &mut self,
        depth: u32,
        mut found: impl FnMut(Range<usize>),
    ) -> Result<JsonValue<'a>, ReadError> {
        let mut children = 0;
        let mut child_start = 0;
        let mut only_objects = true;
        // One bit for each object or array entered and not left, the innermost lowest; set for
        // objects. There are never more than MAX_DEPTH of them, which is the width of the
        // integer.
        let mut objects: u64 = 0;
        let mut open: u32 = 0;
        let mut first = self.token()?;
        let start = self.at;
        loop {
            if open == 1 {
                child_start = self.at;
                children += 1;
                only_objects &= first == b'{';
            }
            match first {
                b'{' | b'[' => {
                    if depth + open >= MAX_DEPTH {
                        return Err(self.error(BodyProblem::TooDeep));
                    }
                    self.bump();
                    let is_object = first == b'{';
                    let close = if is_object { b'}' } else { b']' };
                    if self.token()? == close {
                        self.bump();
                    } else {
                        open += 1;
                        objects = objects << 1 | u64::from(is_object);
                        if is_object {
                            self.key()?;
                        }
                        first = self.token()?;
                        continue;
                    }
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return Err(self.error(BodyProblem::Expected("a value"))),
            }
            // A value has just ended: leave what ends with it, up to the next value.
            loop {
                match open {
                    0 => return Ok(JsonValue::new(self.body, start, self.at, children, only_objects)),
                    1 => found(child_start..self.at),
                    _ => {}
                }
                let in_object = objects & 1 == 1;
                match self.token()? {
                    b',' => {
                        self.bump();
                        if in_object {
                            self.key()?;
                        }
                        first = self.token()?;
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ if in_object => {
                        return Err(self.error(BodyProblem::Expected("a comma or the end of an object")));
                    }
                    _ => {
                        return Err(self.error(BodyProblem::Expected("a comma or the end of an array")));
                    }
                }
                self.bump();
                open -= 1;
                objects >>= 1;
            }
        }
    }

    /// A string, the cursor being on its opening quote. Bytes are not looked at beyond quotes and
    /// escapes.
    fn string(&mut self) -> Result<(), ReadError> {
        self.bump();
        loop {
            self.at += plain_length(self.body.get(self.at..self.end).unwrap_or_default());
            match self.byte(self.at) {
                Some(b'"') => {
                    self.bump();
                    return Ok(());
                }
                Some(_) => self.escape()?,
                None => return Err(self.error(BodyProblem::EndOfBody)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ReadError> {
        let length = match self.byte(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                for digit in self.at + 2..self.at + 6 {
                    match self.byte(digit) {
                        Some(byte) if byte.is_ascii_hexdigit() => {}
                        Some(_) => return Err(self.error(BodyProblem::BadEscape)),
                        None => {
                            return Err(ReadError { offset: self.end, problem: BodyProblem::EndOfBody });
                        }
                    }
                }
                6
            }
            Some(_) => return Err(self.error(BodyProblem::BadEscape)),
            None => {
                return Err(ReadError { offset: self.end, problem: BodyProblem::EndOfBody });
            }
        };
        self.at += length;
        Ok(())
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), ReadError> {
        for &expected in word {
            match self.byte(self.at) {
                Some(byte) if byte == expected => self.bump(),
                Some(_) => return Err(self.error(BodyProblem::Expected("true, false or null"))),
                None => return Err(self.error(BodyProblem::EndOfBody)),
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), ReadError> {
        if self.byte(self.at) == Some(b'-') {
            self.bump();
        }
        let leading_zero = self.byte(self.at) == Some(b'0');
        let length = self.digits()?;
        if leading_zero && length > 1 {
            return Err(self.error(BodyProblem::BadNumber));
        }
        if self.byte(self.at) == Some(b'.') {
            self.bump();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte(self.at) {
            self.bump();
            if let Some(b'+' | b'-') = self.byte(self.at) {
                self.bump();
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<usize, ReadError> {
        let start = self.at;
        while self.byte(self.at).is_some_and(|byte| byte.is_ascii_digit()) {
            self.bump();
        }
        if self.at > start {
            return Ok(self.at - start);
        }
        match self.byte(self.at) {
            Some(_) => Err(self.error(BodyProblem::BadNumber)),
            None => Err(self.error(BodyProblem::EndOfBody)),
        }
    }
}

/// How many bytes come before the first quote or backslash. Most of a large body is strings, so
/// this looks at eight bytes at a time.
fn plain_length(bytes: &[u8]) -> usize {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    // The high bit of every zero byte, and perhaps of bytes above the lowest zero byte; the lowest
    // is always right.
    let zero_bytes = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;

    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ QUOTES) | zero_bytes(word ^ BACKSLASHES);
        if found != 0 {
            return index * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let tail = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
    bytes.len() - rest.len() + tail
}
