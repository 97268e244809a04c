//! JSON text byte for byte as the agent's writer produces it.

use muster_api::osquery::config::push_json_str;

use crate::tables::Row;

/// Appends `"name":`, with a comma before it unless an object was just opened.
pub fn push_name(out: &mut Vec<u8>, name: &str) {
    if out.last().is_some_and(|last| *last != b'{') {
        out.push(b',');
    }
    push_json_str(out, name);
    out.push(b':');
}

/// Appends a member whose value is a string.
pub fn push_text_member(out: &mut Vec<u8>, name: &str, text: &str) {
    push_name(out, name);
    push_json_str(out, text);
}

/// Appends a member whose value is written as is.
pub fn push_raw_member(out: &mut Vec<u8>, name: &str, json: impl AsRef<[u8]>) {
    push_name(out, name);
    out.extend_from_slice(json.as_ref());
}

/// A row as an object of strings in SELECT order; of columns with one name the last value wins.
pub fn push_row(out: &mut Vec<u8>, row: &Row) {
    out.push(b'{');
    for (at, (name, _)) in row.iter().enumerate() {
        if row[..at].iter().any(|(earlier, _)| earlier == name) {
            continue;
        }
        if let Some((_, value)) = row.iter().rev().find(|(other, _)| other == name) {
            push_text_member(out, name, value);
        }
    }
    out.push(b'}');
}

/// Format of values of scheduled queries.
#[derive(Clone, Copy)]
pub struct RowStyle {
    /// Numbers as JSON numbers (`logger_numerics`).
    pub numerics: bool,
    /// Bytes that differential rows hide; `None` for snapshots, which hide none.
    pub escape: Option<Escape>,
}

/// Which bytes of a differential row become the text `\xNN`.
#[derive(Clone, Copy, PartialEq)]
pub enum Escape {
    /// Control characters.
    Control,
    /// Control characters and every byte beyond ASCII (before 5.22).
    ControlAndNonAscii,
}

/// A row of a scheduled query: columns sorted by name.
#[must_use]
pub fn sorted_row(row: &Row, style: RowStyle) -> String {
    let sorted: std::collections::BTreeMap<&str, &str> =
        row.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut out = vec![b'{'];
    for (name, value) in sorted {
        push_name(&mut out, name);
        if style.numerics && is_plain_number(value) {
            out.extend_from_slice(value.as_bytes());
        } else if let Some(escape) = style.escape {
            push_json_str(&mut out, &hide_bytes(value, escape));
        } else {
            push_json_str(&mut out, value);
        }
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default()
}

fn is_plain_number(text: &str) -> bool {
    let canonical_integer = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    canonical_integer || (text.contains('.') && serde_json::from_str::<f64>(text).is_ok())
}

fn hide_bytes(text: &str, escape: Escape) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let hidden = letter < ' ' || (escape == Escape::ControlAndNonAscii && !letter.is_ascii());
        if hidden {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("\\x{byte:02X}"));
            }
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, &str)]) -> Row {
        columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn live_rows_keep_select_order_and_collapse_equal_names() {
        let mut out = Vec::new();
        push_row(&mut out, &row(&[("x", "1"), ("a", "q\"\n"), ("x", "2")]));
        assert_eq!(out, br#"{"x":"2","a":"q\"\n"}"#);
    }

    #[test]
    fn scheduled_rows_are_sorted_and_differentials_hide_control_bytes() {
        let odd = row(&[("t", "\u{1}é\t"), ("i", "7"), ("d", "-1.5")]);
        let diff = RowStyle { numerics: false, escape: Some(Escape::Control) };
        assert_eq!(sorted_row(&odd, diff), r#"{"d":"-1.5","i":"7","t":"\\x01é\\x09"}"#);
        let old = RowStyle { numerics: false, escape: Some(Escape::ControlAndNonAscii) };
        assert_eq!(sorted_row(&odd, old), r#"{"d":"-1.5","i":"7","t":"\\x01\\xC3\\xA9\\x09"}"#);
        let snapshot = RowStyle { numerics: true, escape: None };
        assert_eq!(sorted_row(&odd, snapshot), "{\"d\":-1.5,\"i\":7,\"t\":\"\\u0001é\\t\"}");
    }
}
