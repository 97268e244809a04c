//! Values of a body as JSON text that any reader takes.

use std::io;

use super::scan::{JsonValue, ValueKind};

/// Appends a value as a JSON string: strings as they came where that is valid, what is not UTF-8 as U+FFFD, numbers and
/// booleans as written, null as "", lists and objects as their JSON text. False when `out` would become longer than
/// `max_len`; how much of the value is there then is not said.
pub(super) fn write(value: JsonValue<'_>, out: &mut Vec<u8>, max_len: usize) -> bool {
    let raw = value.raw();
    if value.kind() == ValueKind::String && is_valid(raw) {
        return within(out, raw, max_len);
    }
    match value.text() {
        Some(text) => quote(&text, out, max_len),
        None => quote(&String::from_utf8_lossy(raw), out, max_len),
    }
}

/// Appends bytes unless that makes `out` longer than `max_len`.
pub(super) fn within(out: &mut Vec<u8>, bytes: &[u8], max_len: usize) -> bool {
    let fits = out.len() + bytes.len() <= max_len;
    if fits {
        out.extend_from_slice(bytes);
    }
    fits
}

/// Whether a string that was scanned can be passed on as it is. Escapes of characters are looked into elsewhere: they may
/// be halves of a pair.
fn is_valid(raw: &[u8]) -> bool {
    let has_unicode_escape = raw.contains(&b'\\') && raw.windows(2).any(|pair| pair == br"\u");
    !has_unicode_escape && !raw.iter().any(|byte| *byte < b' ') && std::str::from_utf8(raw).is_ok()
}

/// Text grows when it is quoted, control characters to six times their size.
fn quote(text: &str, out: &mut Vec<u8>, max_len: usize) -> bool {
    serde_json::to_writer(Within { out, max_len }, text).is_ok()
}

/// Takes no more than there is room for.
struct Within<'a> {
    out: &'a mut Vec<u8>,
    max_len: usize,
}

impl io::Write for Within<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if within(self.out, bytes, self.max_len) { Ok(bytes.len()) } else { Err(io::ErrorKind::FileTooLarge.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
