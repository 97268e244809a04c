use super::super::{Enroll, MAX_COLUMNS, MAX_VALUE_BYTES};

#[test]
fn a_usual_enrollment() {
    let enroll = Enroll::read(
        br#"{"enroll_secret":"s3","host_identifier":"web-7","platform_type":"9","host_details":{
            "os_version":{"_id":"12","name":"Debian GNU/Linux","patch":""},
            "osquery_info":{"version":"5.12.2","pid_with_namespace":"0"},
            "system_info":{"hostname":"web-7.corp","uuid":"4C4C"}}}"#,
    )
    .unwrap();
    assert_eq!(enroll.enroll_secret.as_deref(), Some("s3"));
    assert_eq!(enroll.host_identifier.as_deref(), Some("web-7"));
    assert_eq!(enroll.platform_type.as_deref(), Some("9"));
    let details = &enroll.host_details;
    assert_eq!(details.get("os_version", "name"), Some("Debian GNU/Linux"));
    assert_eq!(details.get("osquery_info", "version"), Some("5.12.2"));
    assert_eq!(details.get("system_info", "uuid"), Some("4C4C"));
    assert_eq!(details.get("os_version", "patch"), None);
    assert_eq!(details.os_version["patch"], "");
    assert_eq!(details.get("platform_info", "vendor"), None);
    assert_eq!(details.get("users", "name"), None);
    assert_eq!(enroll.dropped, 0);
}

#[test]
fn every_field_is_optional_and_types_are_loose() {
    assert_eq!(Enroll::read(b"{}").unwrap(), Enroll::default());
    let enroll = Enroll::read(
        br#"{"host_details":{"system_info":{"cpu":8,"big":18446744073709551616,"ok":true,"none":null,"list":[1]},
            "os_version":"","platform_info":null,"osquery_info":7,"unknown":{"a":"b"}},
            "platform_type":21,"enroll_secret":null,"host_identifier":{},"more":[[]]}"#,
    )
    .unwrap();
    assert_eq!(enroll.platform_type.as_deref(), Some("21"));
    assert_eq!((enroll.enroll_secret.as_deref(), enroll.host_identifier.as_deref()), (None, None));
    let system_info: Vec<_> = enroll.host_details.system_info.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(system_info, [("big", "18446744073709551616"), ("cpu", "8"), ("none", ""), ("ok", "true")]);
    assert_eq!(enroll.dropped, 3);
    assert!(Enroll::read(br#"{"host_details":""}"#).unwrap() == Enroll::default());
}

#[test]
fn text_is_decoded_leniently_and_the_last_member_counts() {
    let enroll = Enroll::read(
        b"{\"enroll_secret\":\"old\",\"enroll\\u005fsecret\":\"n\xFFw\",\"host_details\":{\"os_version\":{\"a\":\"1\",\"a\":\"2\"}}}",
    )
    .unwrap();
    assert_eq!(enroll.enroll_secret.as_deref(), Some("n\u{FFFD}w"));
    assert_eq!(enroll.host_details.get("os_version", "a"), Some("2"));
    assert!(!format!("{enroll:?}").contains("n\u{FFFD}w"));
}

#[test]
fn what_is_over_a_limit_is_left_out_and_counted() {
    let fits = "x".repeat(MAX_VALUE_BYTES);
    let columns: Vec<String> = (0..MAX_COLUMNS + 5).map(|i| format!("\"c{i:03}\":\"\"")).collect();
    let body = format!(
        "{{\"enroll_secret\":\"{fits}\",\"host_identifier\":\"{fits}x\",\"host_details\":\
         {{\"system_info\":{{{}}},\"os_version\":{{\"name\":\"{fits}x\",\"{fits}\":\"a\",\"arch\":\"b\"}}}}}}",
        columns.join(",")
    );
    let enroll = Enroll::read(body.as_bytes()).unwrap();
    assert_eq!(enroll.enroll_secret, Some(fits));
    assert_eq!(enroll.host_identifier, None);
    assert_eq!(enroll.host_details.system_info.len(), MAX_COLUMNS);
    assert!(enroll.host_details.system_info.contains_key("c000"));
    assert_eq!(enroll.host_details.os_version.len(), 1);
    assert_eq!(enroll.dropped, 1 + 5 + 2);
}
