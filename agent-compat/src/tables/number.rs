//! SQLite values as the text that osquery shows.

use rusqlite::types::ValueRef;

/// NULL is empty, numbers are decimal, a blob ends at its first NUL byte.
pub(super) fn text_of(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => real_text(number),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        }
    }
}

fn real_text(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-5..1e15).contains(&size) && number.is_finite() {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    let text = number.to_string();
    if text.contains('.') || !number.is_finite() { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_text() {
        for (number, text) in [(1.5, "1.5"), (-2.0, "-2.0"), (0.0, "0.0"), (1.25e20, "1.25e+20"), (1e-7, "1e-07")] {
            assert_eq!(text_of(ValueRef::Real(number)), text);
        }
        assert_eq!(text_of(ValueRef::Null), "");
        assert_eq!(text_of(ValueRef::Integer(i64::MAX)), "9223372036854775807");
        assert_eq!(text_of(ValueRef::Blob(b"ab\0c")), "ab");
    }
}
