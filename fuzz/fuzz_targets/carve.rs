#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_api::osquery::{CarveBegin, CarveBlock, node_key};

fuzz_target!(|body: &[u8]| {
    if let Ok(begin) = CarveBegin::read(body) {
        assert_eq!(node_key(body).ok(), Some(begin.node_key));
    }
    let in_front = CarveBlock::session_in_front(body);
    if let Ok(block) = CarveBlock::read(body) {
        let data = body.get(block.data).expect("the data is in the body");
        assert!(!data.ends_with(b"\"") || data.ends_with(b"\\\""));
        // Of two sessions the last one counts, and the first one stands in front.
        assert!(in_front.is_some() || block.session_id.is_empty());
    }
});
