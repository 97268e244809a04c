use super::super::{ColumnNames, DistributedWrite, Stats};

fn read(body: &[u8]) -> DistributedWrite<'_> {
    DistributedWrite::read(body).unwrap()
}

#[test]
fn columns_of_any_type_become_text() {
    let write = read(
        br#"{"queries":{"q":[{"n":1e300,"b":false,"z":null,"l":[1, "x"],"o":{"k":{}},"\u00e9":"a\/b","d":"1","d":"2"}]}}"#,
    );
    let row = &write.results[0].1.rows.decode()[0];
    let row: Vec<_> = row.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("n", "1e300"),
        ("b", "false"),
        ("z", ""),
        ("l", "[1, \"x\"]"),
        ("o", "{\"k\":{}}"),
        ("é", "a/b"),
        ("d", "1"),
        ("d", "2"),
    ];
    assert_eq!(row, expected);
}

#[test]
fn costs_are_read_in_any_form() {
    let stats = |json: &str| {
        let body = format!(r#"{{"statuses":{{"q":0}},"stats":{{"q":{json}}}}}"#);
        read(body.as_bytes()).results[0].1.stats
    };
    let expected = Stats { wall_time_ms: 12, user_time: 3, system_time: 0, memory: u64::MAX };
    assert_eq!(
        stats(r#"{"memory":1e99,"user_time":3.9,"wall_time_ms":"12","system_time":-4,"more":{}}"#),
        Some(expected)
    );
    assert_eq!(stats(r#"{"memory":[],"user_time":"x","system_time":"inf"}"#), Some(Stats::default()));
    assert_eq!((stats("{}"), stats("null"), stats("[]"), stats("3")), (None, None, None, None));
}

fn written(body: &[u8]) -> String {
    let (mut out, mut names) = (Vec::new(), ColumnNames::default());
    for row in read(body).results[0].1.rows.iter() {
        assert!(row.write_json(&mut out, &mut names, usize::MAX));
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn rows_are_written_as_text_that_any_reader_takes() {
    let body =
        br#"{"queries":{"q":[{"n":1e300,"b":false,"z":null,"l":["x"],"\u00e9":"a\/b","d":"1","s":"\ud800","d":"2"},{}]}}"#;
    let expected = r#"{"n":"1e300","b":"false","z":"","l":"[\"x\"]","é":"a\/b","s":"REPLACED","d":"2"}{}"#;
    assert_eq!(written(body), expected.replace("REPLACED", "\u{fffd}"));
    let raw = b"{\"queries\":{\"q\":[{\"A\xffB\":\"\x01\xff\"}]}}";
    assert_eq!(written(raw), "{\"A\u{fffd}B\":\"\\u0001\u{fffd}\"}");
}
