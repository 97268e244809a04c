use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::scan::members;
use super::super::{ColumnNames, DistributedWrite, Enroll, Log, Rows, node_key, write_line};

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Exact in binary and decimal: serde_json does not promise to read others back to the last
        // bit.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 64.0)),
        ".{0,12}".prop_map(Value::from),
        "[\\\\\"\n\r\u{1}a/]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(".{0,6}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn objects() -> impl Strategy<Value = Map<String, Value>> {
    btree_map(".{0,8}", values(), 0..6).prop_map(|map| map.into_iter().collect())
}

/// The members as the scanner sees them, parsed one by one.
fn scanned(body: &[u8]) -> Map<String, Value> {
    let mut map = Map::new();
    for member in members(body) {
        let member = member.unwrap();
        let value: Value = serde_json::from_slice(member.value.raw()).unwrap();
        let children = match &value {
            Value::Array(list) => {
                assert_eq!(member.value.only_objects(), list.iter().all(Value::is_object));
                for (element, expected) in member.value.elements().zip(list) {
                    assert_eq!(&serde_json::from_slice::<Value>(element.raw()).unwrap(), expected);
                }
                list.len()
            }
            Value::Object(map) => map.len(),
            Value::String(text) => {
                assert_eq!(&member.value.text().unwrap(), text);
                assert!(member.value.is(text));
                0
            }
            _ => 0,
        };
        assert_eq!(member.value.children(), children);
        assert_eq!(member.value.elements().count() + member.value.members().count(), children);
        map.insert(member.key.text().unwrap().into_owned(), value);
    }
    map
}

fn read_everything(body: &[u8]) {
    let well_formed = members(body).all(|member| member.is_ok());
    assert!(node_key(body).is_err() || well_formed);
    assert_eq!(Enroll::read(body).is_ok(), well_formed);
    if let Ok(log) = Log::read(body) {
        let mut out = Vec::new();
        log.elements.iter().for_each(|element| write_line(element, &mut out));
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), log.elements.len());
    }
    if let Ok(write) = DistributedWrite::read(body) {
        for (_, result) in write.results {
            assert_eq!(result.rows.decode().len(), result.rows.row_count());
            assert_written_as_decoded(&result.rows);
        }
    }
}

/// Text that is written says what decoding says, the last of a repeated name.
fn assert_written_as_decoded(rows: &Rows<'_>) {
    let mut names = ColumnNames::default();
    for row in rows.iter() {
        let decoded: Map<String, Value> =
            row.columns().map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
        let mut text = b"before".to_vec();
        assert!(row.write_json(&mut text, &mut names, usize::MAX));
        let (mut within, max_len) = (b"before".to_vec(), text.len());
        assert!(!row.write_json(&mut within, &mut names, max_len - 1) && within == b"before");
        assert!(row.write_json(&mut within, &mut names, max_len) && within == text);
        let text = std::str::from_utf8(&text).unwrap().strip_prefix("before").unwrap();
        assert_eq!(serde_json::from_str::<Map<String, Value>>(text).unwrap(), decoded, "{text}");
        assert!(text.len() <= 6 * row.raw().len() + 2 * row.column_count() + 2, "{text}");
    }
}

/// A name or a text as agents that are broken or hostile send it: bytes that are no UTF-8, halves of pairs, control
/// characters.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scraps: Vec<&'static [u8]> = vec![
        b"a",
        b"a",
        b"\xff",
        b"\xc3\xa9",
        b"\xe2\x82",
        b"\x00",
        b"\n",
        br"\n",
        br"\/",
        br#"\""#,
        br"\\",
        br"\u0041",
        br"\u0000",
        br"\ud83d",
        br"\ude00",
        br"\ud83d\ude00",
    ];
    vec(proptest::sample::select(scraps), 0..4).prop_map(|scraps| [b"\"", scraps.concat().as_slice(), b"\""].concat())
}

fn odd_rows() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        4 => scraps(),
        1 => values().prop_map(|value| value.to_string().into_bytes()),
    ];
    let column = (scraps(), value).prop_map(|(name, value)| [name, b":".to_vec(), value].concat());
    let row = vec(column, 0..7).prop_map(|columns| [b"{".as_slice(), &columns.join(&b", "[..]), b"}"].concat());
    vec(row, 0..5).prop_map(|rows| [b"[".as_slice(), &rows.join(&b","[..]), b"]"].concat())
}

/// Bytes that look enough like a body to get far into the readers.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\\u00",
        b"\n",
        b" ",
        b"1",
        b"-0",
        b"e5",
        b".",
        b"true",
        b"null",
        b"\"\"",
        b"\"a\":",
        b"\xFF",
        b"\"node_key\":",
        b"\"data\":[",
        b"\"queries\":{",
        b"\"statuses\":{",
        b"\"messages\":{",
        b"\"stats\":{",
        b"\"host_details\":{",
        b"\"os_version\":{",
        b"\"log_type\":\"result\"",
    ];
    vec(proptest::sample::select(words), 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn rows_are_written_as_they_are_decoded(rows in odd_rows()) {
        let body = [b"{\"queries\":{\"q\":".as_slice(), &rows, b"}}"].concat();
        let write = DistributedWrite::read(&body).unwrap();
        assert_written_as_decoded(&write.results[0].1.rows);
    }

    #[test]
    fn scanning_agrees_with_parsing(object in objects()) {
        let object = Value::Object(object);
        let compact = serde_json::to_vec(&object).unwrap();
        let pretty = serde_json::to_vec_pretty(&object).unwrap();
        prop_assert_eq!(&Value::Object(scanned(&compact)), &object);
        prop_assert_eq!(&Value::Object(scanned(&pretty)), &object);
    }

    #[test]
    fn every_truncation_is_an_error(object in objects()) {
        let body = serde_json::to_vec(&Value::Object(object)).unwrap();
        for length in 0..body.len() {
            let cut = &body[..length];
            prop_assert!(node_key(cut).is_err());
            prop_assert!(Enroll::read(cut).is_err());
            prop_assert!(Log::read(cut).is_err());
            prop_assert!(DistributedWrite::read(cut).is_err());
        }
    }

    #[test]
    fn random_bytes_never_panic(body in vec(any::<u8>(), 0..200)) {
        read_everything(&body);
    }

    #[test]
    fn bodies_in_pieces_never_panic(body in pieces()) {
        read_everything(&body);
    }

    #[test]
    fn what_is_accepted_is_json(body in pieces()) {
        let text = String::from_utf8_lossy(&body);
        if members(text.as_bytes()).all(|member| member.is_ok()) {
            // The scanner lets control characters pass in strings; those used here are line feeds.
            let strict = text.replace('\n', " ");
            // Nothing else is let through but numbers too large for the parser.
            if let Err(error) = serde_json::from_str::<Value>(&strict) {
                prop_assert!(error.to_string().contains("number out of range"), "{}: {}", error, strict);
            }
        } else {
            prop_assert!(serde_json::from_slice::<Map<String, Value>>(&body).is_err());
        }
    }

    #[test]
    fn lines_never_break(element in vec(any::<u8>(), 0..200), breaks in "[\n\r\"\\\\a]{0,40}") {
        for element in [&element[..], breaks.as_bytes()] {
            let mut out = Vec::new();
            write_line(element, &mut out);
            prop_assert!(out.len() <= 2 * element.len() + 1);
            let (last, inner) = out.split_last().unwrap();
            prop_assert_eq!(*last, b'\n');
            prop_assert!(!inner.contains(&b'\n') && !inner.contains(&b'\r'));
        }
    }

    #[test]
    fn lines_keep_their_meaning(value in values()) {
        for element in [serde_json::to_vec(&value).unwrap(), serde_json::to_vec_pretty(&value).unwrap()] {
            let mut out = Vec::new();
            write_line(&element, &mut out);
            prop_assert_eq!(&serde_json::from_slice::<Value>(&out).unwrap(), &value);
        }
    }
}
