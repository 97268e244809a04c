use super::super::scan::{MAX_DEPTH, Member, ValueKind, members};
use super::super::{BodyProblem, ReadError, node_key};

fn all(body: &[u8]) -> Result<Vec<Member<'_>>, ReadError> {
    members(body).collect()
}

fn problem(body: &[u8]) -> (usize, BodyProblem) {
    let error = all(body).unwrap_err();
    (error.offset, error.problem)
}

#[test]
fn members_are_given_as_ranges_of_the_body() {
    let body =
        b" { \"a\" : [1, {\"x\":2}] ,\r\n\t\"b\":\"\xFF\x01\" , \"c\":-1.5e+3,\"d\":null,\"e\":true,\"f\":{} } \n";
    let members = all(body).unwrap();
    let seen: Vec<(&[u8], ValueKind, usize)> =
        members.iter().map(|member| (member.value.raw(), member.value.kind(), member.value.children())).collect();
    let expected: [(&[u8], ValueKind, usize); 6] = [
        (b"[1, {\"x\":2}]", ValueKind::Array, 2),
        (b"\"\xFF\x01\"", ValueKind::String, 0),
        (b"-1.5e+3", ValueKind::Number, 0),
        (b"null", ValueKind::Null, 0),
        (b"true", ValueKind::Bool, 0),
        (b"{}", ValueKind::Object, 0),
    ];
    assert_eq!(seen, expected);
    for member in &members {
        assert_eq!(&body[member.value.range()], member.value.raw());
        assert_eq!(&body[member.key.range()], member.key.raw());
    }
    assert!(!members[0].value.only_objects());
    assert_eq!(members[1].value.text().unwrap(), "\u{FFFD}\u{1}");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(node_key(b"\xEF\xBB\xBF{\"node_key\":\"k\"}").unwrap().unwrap(), "k");
    assert_eq!(problem(b"\xEF\xBB{}").1, BodyProblem::NotAnObject);
}

#[test]
fn bad_structure_is_refused_with_its_offset() {
    let cases: &[(&[u8], usize, BodyProblem)] = &[
        (b"", 0, BodyProblem::EndOfBody),
        (b" \n", 2, BodyProblem::EndOfBody),
        (b"[]", 0, BodyProblem::NotAnObject),
        (b"\"a\"", 0, BodyProblem::NotAnObject),
        (b"nil", 0, BodyProblem::NotAnObject),
        (b"\x1f\x8b\x08", 0, BodyProblem::NotAnObject),
        (b"{} x", 3, BodyProblem::Trailing),
        (b"{}{}", 2, BodyProblem::Trailing),
        (b"{\"a\":1},", 7, BodyProblem::Trailing),
        (b"{\"a\":1", 6, BodyProblem::EndOfBody),
        (b"{\"a", 3, BodyProblem::EndOfBody),
        (b"{\"a\":\"\\", 7, BodyProblem::EndOfBody),
        (b"{\"a\":\"\\u00", 10, BodyProblem::EndOfBody),
        (b"{\"a\":tru", 8, BodyProblem::EndOfBody),
        (b"{\"a\":1,}", 7, BodyProblem::Expected("a member name")),
        (b"{,}", 1, BodyProblem::Expected("a member name")),
        (b"{1:1}", 1, BodyProblem::Expected("a member name")),
        (b"{\"a\" 1}", 5, BodyProblem::Expected("a colon")),
        (b"{\"a\":}", 5, BodyProblem::Expected("a value")),
        (b"{\"a\":'x'}", 5, BodyProblem::Expected("a value")),
        (b"{\"a\":[1,]}", 8, BodyProblem::Expected("a value")),
        (b"{\"a\":[1 2]}", 8, BodyProblem::Expected("a comma or the end of an array")),
        (b"{\"a\":[1}", 7, BodyProblem::Expected("a comma or the end of an array")),
        (b"{\"a\":{\"b\":1]}", 11, BodyProblem::Expected("a comma or the end of an object")),
        (b"{\"a\":1]", 6, BodyProblem::Expected("a comma or the end of the object")),
        (b"{\"a\":nul}", 8, BodyProblem::Expected("true, false or null")),
        (b"{\"a\":01}", 7, BodyProblem::BadNumber),
        (b"{\"a\":-}", 6, BodyProblem::BadNumber),
        (b"{\"a\":1.}", 7, BodyProblem::BadNumber),
        (b"{\"a\":1e}", 7, BodyProblem::BadNumber),
        (b"{\"a\":\"\\x41\"}", 6, BodyProblem::BadEscape),
        (b"{\"a\":\"\\u12g4\"}", 6, BodyProblem::BadEscape),
        (b"{\"a\":\"\\\n\"}", 6, BodyProblem::BadEscape),
    ];
    for &(body, offset, expected) in cases {
        assert_eq!(problem(body), (offset, expected), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn depth_is_limited_without_recursion() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{{\"a\":{}1{}}}", open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    let inside = MAX_DEPTH as usize - 1;
    for (open, close) in [("[", "]"), ("{\"b\":", "}")] {
        assert_eq!(all(&nested(open, close, inside)).unwrap().len(), 1);
        assert_eq!(problem(&nested(open, close, inside + 1)).1, BodyProblem::TooDeep);
        assert_eq!(problem(&nested(open, close, 1_000_000)).1, BodyProblem::TooDeep);
    }
    // Empty containers count too, and closed ones do not.
    let empty = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(all(empty(inside).as_bytes()).is_ok());
    assert_eq!(problem(empty(inside + 1).as_bytes()).1, BodyProblem::TooDeep);
    let wide = format!("{{\"a\":[{}{{}}]}}", "[[]],".repeat(1000));
    let wide = all(wide.as_bytes()).unwrap();
    assert_eq!(wide[0].value.elements().count(), 1001);
}

#[test]
fn nested_values_are_walked_in_order() {
    let body = br#"{"o":{"x":[{"a":1},{"b":2}],"y":" "},"p":[]}"#;
    let members = all(body).unwrap();
    let inner: Vec<_> = members[0].value.members().collect();
    assert!(inner[0].key.is("x") && inner[1].key.is("y"));
    assert!(inner[0].value.only_objects());
    let elements: Vec<&[u8]> = inner[0].value.elements().map(|element| element.raw()).collect();
    assert_eq!(elements, [br#"{"a":1}"#, br#"{"b":2}"#]);
    assert_eq!(members[1].value.elements().count(), 0);
    assert_eq!(inner[1].value.elements().count(), 0);
    assert_eq!(inner[1].value.members().count(), 0);
}

#[test]
fn strings_are_decoded_leniently() {
    let cases: &[(&[u8], &str)] = &[
        (br#""""#, ""),
        (br#""a\/b\\c\"\b\f\n\r\t""#, "a/b\\c\"\u{8}\u{c}\n\r\t"),
        (br#""\u00e9\u2028\uD83D\uDE00""#, "é\u{2028}😀"),
        (br#""\ud83d""#, "\u{FFFD}"),
        (br#""\ud83d\u0041""#, "\u{FFFD}A"),
        (br#""\ud83d\ud83d\ude00""#, "\u{FFFD}😀"),
        (br#""\ude00x""#, "\u{FFFD}x"),
        (b"\"A\xFFB\\n\xC3(\"", "A\u{FFFD}B\n\u{FFFD}("),
        (b"\"\x00\n\x7F\"", "\0\n\x7F"),
        ("\"é☃😀\"".as_bytes(), "é☃😀"),
    ];
    for &(json, expected) in cases {
        let body = [b"{\"a\":", json, b"}"].concat();
        assert_eq!(all(&body).unwrap()[0].value.text().unwrap(), expected);
    }
}

#[test]
fn quotes_are_found_at_any_distance() {
    for length in 0..70 {
        for filler in ["a", "\u{80}", "\u{7f}", "!", "#", "["] {
            let text = filler.repeat(length);
            let body = format!("{{\"k\":\"{text}\",\"e\":\"{text}\\\"{text}\"}}");
            let members = all(body.as_bytes()).unwrap();
            assert_eq!(members[0].value.text().unwrap(), text);
            assert_eq!(members[1].value.text().unwrap(), format!("{text}\"{text}"));
        }
    }
}

#[test]
fn node_key_is_found_anywhere() {
    let cases: &[(&[u8], Option<&str>)] = &[
        (br#"{"node_key":"k1"}"#, Some("k1")),
        (br#"{"data":[{"node_key":"other"}],"log_type":"result","node_key":"k1"}"#, Some("k1")),
        (br#"{"node\u005fkey":"k\u0031"}"#, Some("k1")),
        (br#"{"node_key":"k0","node_key":"k1"}"#, Some("k1")),
        (br#"{"node_key":""}"#, Some("")),
        (br#"{"node_key":null}"#, None),
        (br#"{"Node_Key":"k1","node_key2":"k2"}"#, None),
        (b"{}", None),
        (b"{\"node_key\":\"\xFF\"}", Some("\u{FFFD}")),
    ];
    for &(body, expected) in cases {
        assert_eq!(node_key(body).unwrap().as_deref(), expected);
    }
    let error = node_key(br#"{ "node_key": 12345 }"#).unwrap_err();
    assert_eq!(error.to_string(), "member node_key is not a string, at byte 14");
    assert!(node_key(br#"{"node_key":"k1"} ]"#).is_err());
}

#[test]
fn errors_and_debug_output_show_no_content() {
    let body = br#"{"node_key":"hunter2","hunter2":"hunter2" "hunter2"}"#;
    let shown = format!("{0} {0:?}", all(body).unwrap_err());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.starts_with("expected a comma or the end of the object at byte 42"), "{shown}");
    let shown = format!("{:?}", all(br#"{"node_key":"hunter2"}"#).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}
