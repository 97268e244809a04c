//! A configuration as agents write, measure and hash it.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use sha1::{Digest, Sha1};

/// Deepest nesting agents from 4.3 on load; the root object is the first level.
pub const MAX_CONFIG_DEPTH: usize = 32;

/// How deeply objects and arrays are nested.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The name a query of a pack has in the agent's schedule; the pack `main` is the schedule itself.
pub fn full_name(pack: &str, query: &str, delimiter: &str) -> String {
    if pack == "main" { query.to_owned() } else { format!("pack{delimiter}{pack}{delimiter}{query}") }
}

/// The compact form over which an agent computes the hash of its configuration.
pub fn compact(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

/// Appends `text` as a JSON string.
pub fn push_json_str(out: &mut Vec<u8>, text: &str) {
    write(out, text);
}

/// `osquery_info.config_hash` of an agent whose only source is this configuration, in [`compact`] form.
pub fn config_hash(compact: &[u8]) -> String {
    sha1_hex(sha1_hex(compact).as_bytes())
}

fn sha1_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(40);
    for byte in Sha1::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing text and JSON values to memory has no way to fail.
    let _ = value.serialize(&mut Serializer::with_formatter(out, AgentFormatter));
}

/// Compact output in the agent's own way: control characters as `\u00XX` with upper-case digits, numbers with a decimal
/// point written out where the agent does.
struct AgentFormatter;

impl Formatter for AgentFormatter {
    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        let short = match escape {
            CharEscape::Quote => "\\\"",
            CharEscape::ReverseSolidus => "\\\\",
            CharEscape::Solidus => "\\/",
            CharEscape::Backspace => "\\b",
            CharEscape::FormFeed => "\\f",
            CharEscape::LineFeed => "\\n",
            CharEscape::CarriageReturn => "\\r",
            CharEscape::Tab => "\\t",
            CharEscape::AsciiControl(byte) => return write!(writer, "\\u{byte:04X}"),
        };
        writer.write_all(short.as_bytes())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(double(value).as_bytes())
    }
}

/// Numbers below this many digits before the point are written out.
const MAX_WHOLE_DIGITS: i32 = 21;

/// Numbers with at most so many zeros behind the point are written out.
const MAX_LEADING_ZEROS: i32 = 5;

/// A double in its shortest digits, laid out as RapidJSON does.
fn double(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // Where the decimal point stands, counted from the first digit.
    let point = exponent + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if (count..=MAX_WHOLE_DIGITS).contains(&point) {
        let zeros = "0".repeat(usize::try_from(point - count).unwrap_or(0));
        format!("{sign}{digits}{zeros}.0")
    } else if (1..=MAX_WHOLE_DIGITS).contains(&point) {
        let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{sign}{whole}.{rest}")
    } else if (-MAX_LEADING_ZEROS..=0).contains(&point) {
        format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0)))
    } else {
        format!("{sign}{mantissa}e{exponent}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn compact_keeps_order_and_writes_control_characters_in_upper_case() {
        let value: Value = serde_json::from_str(r#"{ "b": "\u001f/é", "a": [1e3, 2] }"#).unwrap();
        assert_eq!(String::from_utf8(compact(&value)).unwrap(), "{\"b\":\"\\u001F/é\",\"a\":[1000.0,2]}");
    }

    #[test]
    fn doubles_are_laid_out_as_agents_do() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (1e20, "100000000000000000000.0"),
            (1e21, "1e21"),
            (1.234e33, "1.234e33"),
            (123_456_789_012_345_680.0, "123456789012345680.0"),
            (0.001234, "0.001234"),
            (0.000001, "0.000001"),
            (1.5e-7, "1.5e-7"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn depth_counts_nested_containers() {
        assert_eq!(depth(&json!({"a": [{"b": 1}]})), 3);
        assert_eq!(depth(&json!(7)), 0);
    }

    #[test]
    fn queries_of_packs_carry_their_name() {
        assert_eq!(full_name("main", "q", "/"), "q");
        assert_eq!(full_name("p", "q", "_"), "pack_p_q");
    }

    #[test]
    fn the_hash_is_one_of_a_hash() {
        assert_eq!(sha1_hex(b"{}"), "bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f");
        assert_eq!(config_hash(b"{}"), sha1_hex(b"bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f"));
    }
}
