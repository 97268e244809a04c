#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_api::osquery::{
    Columns, Enroll, MAX_COLUMNS, MAX_NAME_BYTES, MAX_VALUE_BYTES, node_key, scan,
};

fn check(columns: &Columns) -> usize {
    assert!(columns.len() <= MAX_COLUMNS);
    for (name, value) in columns {
        assert!(name.len() <= MAX_NAME_BYTES && value.len() <= MAX_VALUE_BYTES);
    }
    columns
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

fuzz_target!(|body: &[u8]| {
    let well_formed = scan::members(body).all(|member| member.is_ok());
    let Ok(enroll) = Enroll::read(body) else {
        assert!(!well_formed);
        assert!(node_key(body).is_err());
        return;
    };
    assert!(well_formed);
    let details = &enroll.host_details;
    let mut kept = check(&details.os_version)
        + check(&details.osquery_info)
        + check(&details.system_info)
        + check(&details.platform_info);
    for field in [
        &enroll.enroll_secret,
        &enroll.host_identifier,
        &enroll.platform_type,
    ] {
        kept += field.as_ref().map_or(0, String::len);
        assert!(
            field
                .as_ref()
                .is_none_or(|text| text.len() <= MAX_VALUE_BYTES)
        );
    }
    // One byte that is not UTF-8 becomes three.
    assert!(kept <= 3 * body.len());
    assert!(enroll.dropped <= body.len());
    if let Some(value) = details.get("os_version", "name") {
        assert!(!value.is_empty());
    }
});
