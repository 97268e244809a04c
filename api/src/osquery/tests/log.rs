use super::super::{Elements, Log, LogType, MAX_LOG_TYPE_BYTES, write_line};

fn lines<'a>(elements: &Elements<'a>) -> Vec<&'a [u8]> {
    elements.iter().collect()
}

#[test]
fn elements_come_out_as_they_went_in() {
    // As written uncompressed: data first.
    let body = b"{\"data\":[{\"name\":\"a\",\"columns\":{\"b\":\"A\xFFB\",\"u\":\"\\u00e9\"},\"unixTime\":1795190544} ,\n{\"snapshot\":[ ]},7],\"log_type\":\"result\",\"node_key\":\"k\"}";
    let log = Log::read(body).unwrap();
    assert_eq!(log.node_key.as_deref(), Some("k"));
    assert_eq!(log.log_type, LogType::Result);
    assert_eq!(log.elements.len(), 3);
    let expected: [&[u8]; 3] = [
        b"{\"name\":\"a\",\"columns\":{\"b\":\"A\xFFB\",\"u\":\"\\u00e9\"},\"unixTime\":1795190544}",
        b"{\"snapshot\":[ ]}",
        b"7",
    ];
    assert_eq!(lines(&log.elements), expected);
    assert_eq!(format!("{log:?}"), "Log { log_type: Result, elements: 3, .. }");
}

#[test]
fn any_member_order_and_identical_lines() {
    // As written with compression: data last; typed numbers only since 5.10.
    let body =
        br#"{"node_key":"k","log_type":"status","data":[{"severity":"1","line":"354"},{"severity":"1","line":"354"}]}"#;
    let log = Log::read(body).unwrap();
    assert_eq!(log.log_type, LogType::Status);
    assert_eq!(lines(&log.elements), [br#"{"severity":"1","line":"354"}"#; 2]);
}

#[test]
fn no_data_is_no_elements() {
    for data in ["", r#","data":"""#, r#","data":null"#, r#","data":[]"#, r#","data":[1],"data":[ ]"#] {
        let body = format!(r#"{{"node_key":""{data},"log_type":"result"}}"#);
        let log = Log::read(body.as_bytes()).unwrap();
        assert!(log.elements.is_empty());
        assert_eq!(lines(&log.elements).len(), 0);
        assert_eq!(log.node_key.as_deref(), Some(""));
    }
    for data in ["{}", "1", r#""x""#, "false"] {
        let error = Log::read(format!(r#"{{"data":{data}}}"#).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "member data is not a list, at byte 8");
    }
}

#[test]
fn short_and_long_elements_are_found_alike() {
    // Where a line stands takes as much memory as 16 bytes of body, so lists of shorter ones are scanned again.
    let (short, long) = ("[7,{}, \"]\",[1,[2]]]".to_owned(), format!("[\"{}\" , 5,[[],7]]", "x".repeat(100)));
    for (data, count) in [(short, 4), (long, 3)] {
        for body in [
            format!("{{\"data\":[1,2,3],\"data\":{data},\"log_type\":\"result\"}}"),
            format!("{{\"log_type\":\"result\",\"d\\u0061ta\":{data}}}"),
        ] {
            let log = Log::read(body.as_bytes()).unwrap();
            let found: Vec<String> =
                lines(&log.elements).into_iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
            assert_eq!((found.len(), log.elements.len()), (count, count), "{body}");
            let parsed: Vec<serde_json::Value> = serde_json::from_str(&data).unwrap();
            let again: Vec<serde_json::Value> = found.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(again, parsed);
            let ranges = log.elements.into_ranges();
            assert_eq!(ranges.into_iter().map(|range| body[range].to_owned()).collect::<Vec<_>>(), found);
        }
    }
}

#[test]
fn unknown_log_types_are_kept_short() {
    let read = |log_type: &str| Log::read(format!(r#"{{"log_type":{log_type}}}"#).as_bytes()).unwrap().log_type;
    assert_eq!(read(r#""audit""#), LogType::Unknown("audit".to_owned()));
    assert_eq!(read("5"), LogType::Unknown("5".to_owned()));
    assert_eq!(read("[]"), LogType::Unknown(String::new()));
    assert_eq!(Log::read(b"{}").unwrap().log_type, LogType::Unknown(String::new()));
    let LogType::Unknown(kept) = read(&format!("\"x{}\"", "é".repeat(100))) else { panic!() };
    assert_eq!(kept, format!("x{}", "é".repeat((MAX_LOG_TYPE_BYTES - 1) / 2)));
}

#[test]
fn lines_are_framed_whatever_they_contain() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"{\"a\":\"A\xFFB\x01\"}", b"{\"a\":\"A\xFFB\x01\"}\n"),
        (b"{\r\n \"a\":\n[1,\n2]}", b"{   \"a\": [1, 2]}\n"),
        (b"{\"a\":\"x\ny\r\"}", b"{\"a\":\"x\\ny\\r\"}\n"),
        (b"{\"a\\\"\":\"\\\\\"\n,\"b\":\"\n\"}", b"{\"a\\\"\":\"\\\\\" ,\"b\":\"\\n\"}\n"),
        (b"", b"\n"),
        // Not JSON, and framed all the same.
        (b"\"\\\n\"\n", b"\"\\\\n\" \n"),
    ];
    for &(element, expected) in cases {
        let mut out = b"before\n".to_vec();
        write_line(element, &mut out);
        assert_eq!(out, [b"before\n", expected].concat());
    }
}
