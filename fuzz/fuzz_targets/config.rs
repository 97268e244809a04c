#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_api::osquery::{node_key, scan};

fuzz_target!(|body: &[u8]| {
    let mut end = 0;
    let mut well_formed = true;
    for member in scan::members(body) {
        match member {
            Ok(member) => {
                // Members follow each other, and lie in the body.
                let (key, value) = (member.key.range(), member.value.range());
                assert!(end < key.start && key.end < value.start && value.end <= body.len());
                assert_eq!(&body[value.clone()], member.value.raw());
                let walked = member.value.members().count() + member.value.elements().count();
                assert_eq!(walked, member.value.children());
                end = value.end;
            }
            Err(error) => {
                assert!(error.offset <= body.len());
                well_formed = false;
            }
        }
    }
    match node_key(body) {
        Ok(key) => {
            assert!(well_formed);
            assert!(key.is_none_or(|key| key.len() <= 3 * body.len()));
            // Half a body is no body.
            let whole = body.trim_ascii_end();
            assert!(node_key(&whole[..whole.len() - 1]).is_err());
        }
        Err(error) => assert!(error.offset <= body.len() && !error.to_string().is_empty()),
    }
});
