use super::super::{DistributedWrite, FAILED, MAX_RESULTS, QueryResult, Stats};

fn read(body: &[u8]) -> DistributedWrite<'_> {
    DistributedWrite::read(body).unwrap()
}

/// The only result of a body.
fn one(body: &str) -> (i64, usize, Option<String>) {
    let write = read(body.as_bytes());
    assert_eq!(write.results.len(), 1, "{body}");
    let QueryResult { rows, status, message, .. } = &write.results[0].1;
    (*status, rows.row_count(), message.as_deref().map(str::to_owned))
}

#[test]
fn a_usual_write() {
    let write = read(
        b"{\"queries\":{\"ok\":[{\"uid\":\"0\",\"blob\":\"A\xFFB\"},{\"uid\":\"1\",\"blob\":\"\\u0001\"}],\"bad\":[],\"deny\":[]},\
          \"statuses\":{\"ok\":0,\"bad\":1,\"deny\":1},\
          \"messages\":{\"ok\":\"\",\"bad\":\"no such table: x\",\"deny\":\"distributed query is denylisted\"},\
          \"stats\":{\"ok\":{\"wall_time_ms\":41,\"user_time\":20,\"system_time\":10,\"memory\":4096},\"deny\":{}},\
          \"node_key\":\"k\"}",
    );
    assert_eq!(write.node_key.as_deref(), Some("k"));
    assert!(!write.truncated);
    let [(ok_id, ok), (bad_id, bad), (deny_id, deny)] = &write.results[..] else { panic!() };
    assert_eq!((ok_id.as_ref(), bad_id.as_ref(), deny_id.as_ref()), ("ok", "bad", "deny"));

    assert!(ok.succeeded());
    assert_eq!(ok.message, None);
    assert_eq!(ok.stats, Some(Stats { wall_time_ms: 41, user_time: 20, system_time: 10, memory: 4096 }));
    assert_eq!(ok.rows.row_count(), 2);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        ok.rows.decode(),
        [[pair("uid", "0"), pair("blob", "A\u{FFFD}B")], [pair("uid", "1"), pair("blob", "\u{1}")]]
    );
    assert!(ok.rows.raw().starts_with(b"[{\"uid\":\"0\",\"blob\":\"A\xFFB\"},"));
    let second = ok.rows.iter().nth(1).unwrap();
    assert_eq!((second.raw(), second.column_count()), (&br#"{"uid":"1","blob":"\u0001"}"#[..], 2));

    assert_eq!((bad.status, bad.message.as_deref(), bad.stats), (1, Some("no such table: x"), None));
    assert_eq!((deny.status, deny.stats), (1, None));
    assert_eq!((deny.rows.decode().len(), deny.rows.raw()), (0, &b"[]"[..]));
}

#[test]
fn shapes_of_the_oldest_agents() {
    let write = read(br#"{"queries":{"c17":"","c18":[{"a":"1"}]},"statuses":{"c17":"0","c18":"2"},"node_key":"k"}"#);
    assert_eq!((write.results[0].1.status, write.results[0].1.rows.row_count()), (0, 0));
    assert_eq!((write.results[1].1.status, write.results[1].1.rows.row_count()), (2, 1));
    for empty in ["\"\"", "null", "{}", "[]"] {
        let body = format!("{{\"queries\":{empty},\"statuses\":{empty},\"messages\":{empty},\"stats\":{empty}}}");
        let write = read(body.as_bytes());
        assert!(write.results.is_empty() && write.node_key.is_none());
    }
}

#[test]
fn each_id_is_reported_once_in_order_of_appearance() {
    let write = read(
        br#"{"stats":{"s":{"memory":1},"b":{"memory":2}},"messages":{"m":"gone","a":""},"node_key":"k",
            "statuses":{"b":0,"m":3,"\u0062":1},"queries":{"q":[],"a":[{"x":"1"}],"a":[{"x":"2"},{}]}}"#,
    );
    let seen: Vec<_> =
        write.results.iter().map(|(id, result)| (id.as_ref(), result.status, result.rows.row_count())).collect();
    assert_eq!(seen, [("m", 3, 0), ("a", 0, 2), ("b", 1, 0), ("q", 0, 0)]);
    assert_eq!(write.results[2].1.stats, Some(Stats { memory: 2, ..Stats::default() }));
}

#[test]
fn what_is_missing_is_judged_from_the_rest() {
    let failed = |message: &str| (FAILED, 0, Some(message.to_owned()));
    assert_eq!(one(r#"{"statuses":{"q":0}}"#), (0, 0, None));
    assert_eq!(one(r#"{"statuses":{"q":0},"queries":{"q":null}}"#), (0, 0, None));
    assert_eq!(one(r#"{"statuses":{"q":"-7"}}"#), (-7, 0, None));
    assert_eq!(one(r#"{"queries":{"q":[{}]},"messages":{"q":"odd"}}"#), (0, 1, Some("odd".to_owned())));
    assert_eq!(one(r#"{"queries":{"q":[]}}"#), (0, 0, None));
    assert_eq!(one(r#"{"queries":{"q":[]},"statuses":{"q":null},"messages":{"q":"no"}}"#), failed("no"));
    assert_eq!(one(r#"{"messages":{"q":"no"}}"#), failed("no"));
    assert_eq!(one(r#"{"messages":{"q":""}}"#), failed("the agent sent neither rows nor a status"));
    assert_eq!(one(r#"{"statuses":{"q":1},"messages":{"q":{"x":1}}}"#), (1, 0, None));
    assert_eq!(one(r#"{"statuses":{"q":1},"messages":{"q":["x",""]}}"#), (1, 0, Some("x".to_owned())));
}

#[test]
fn one_senseless_answer_does_not_spoil_the_others() {
    for rows in [r#""x""#, "1", "true", "{}", r#"{"a":"b"}"#, "[1]", "[{},[]]", r#"[""]"#] {
        let body = format!(r#"{{"queries":{{"bad":{rows},"good":[{{"a":"1"}}]}},"statuses":{{"bad":0,"good":0}}}}"#);
        let write = read(body.as_bytes());
        let (_, bad) = &write.results[0];
        assert_eq!((bad.status, bad.rows.row_count()), (FAILED, 0), "{rows}");
        assert_eq!(bad.message.as_deref(), Some("the agent sent rows that are not a list of objects"));
        assert_eq!((write.results[1].1.status, write.results[1].1.rows.row_count()), (0, 1));
    }
    for status in [r#""x""#, r#""""#, "1.5", "0.0", "true", "[]", "99999999999999999999"] {
        let (code, rows, message) = one(&format!(r#"{{"queries":{{"q":[{{}}]}},"statuses":{{"q":{status}}}}}"#));
        assert_eq!((code, rows), (FAILED, 1), "{status}");
        assert_eq!(message.as_deref(), Some("the agent sent a status that is not an integer"));
    }
    assert_eq!(
        one(r#"{"queries":{"q":5},"statuses":{"q":4},"messages":{"q":"mine"}}"#),
        (4, 0, Some("mine".to_owned()))
    );
}

#[test]
fn broken_bodies_and_sections_are_errors() {
    for section in ["queries", "statuses"] {
        for value in ["1", "[0]", "\"x\"", "true"] {
            let body = format!("{{\"{section}\":{value}}}");
            let error = DistributedWrite::read(body.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("member {section} is not an object, at byte {}", section.len() + 4));
        }
    }
    assert!(DistributedWrite::read(br#"{"queries":{"a":[{"b":"c"}],"d":[}}"#).is_err());
    assert!(DistributedWrite::read(br#"{"queries":{"a":[]}"#).is_err());
    assert_eq!(read(br#"{"messages":7,"stats":"x"}"#).results.len(), 0);
}

#[test]
fn ids_are_limited() {
    let ids: Vec<String> = (0..MAX_RESULTS + 1).map(|id| format!("\"{id}\":0")).collect();
    let write_of = |ids: &[String]| format!("{{\"statuses\":{{{}}},\"messages\":{{\"0\":\"\"}}}}", ids.join(","));
    let body = write_of(&ids);
    let write = read(body.as_bytes());
    assert_eq!((write.results.len(), write.truncated), (MAX_RESULTS, true));
    let body = write_of(&ids[1..]);
    let write = read(body.as_bytes());
    assert_eq!((write.results.len(), write.truncated), (MAX_RESULTS, true));
    let body = write_of(&ids[..MAX_RESULTS]);
    assert!(!read(body.as_bytes()).truncated);
    assert!(format!("{write:?}").starts_with("DistributedWrite { results: 16384"));
}

/// As fleetd-chrome writes what it could not find out, with the rows it has all the same.
#[test]
fn messages_may_be_lists_with_one_for_each_column() {
    let write = read(
        br#"{"queries":{"q":[{"os":"chrome"}],"failed":null,"empty":[]},"statuses":{"q":1,"failed":1,"empty":0},
            "messages":{"q":[{"column":"ssid","error_message":"permission denied"},{"error_message":"gone"},{"column":""},7],
                        "failed":"Error: no such table: x","empty":[]},"node_key":"k"}"#,
    );
    let said: Vec<_> = write.results.iter().map(|(_, result)| (result.status, result.message.as_deref())).collect();
    assert_eq!(said, [(1, Some("ssid: permission denied; gone; 7")), (1, Some("Error: no such table: x")), (0, None)]);
    assert_eq!(write.results[0].1.rows.row_count(), 1);
}
