use proptest::prelude::*;

use super::super::answer::{BLOCK_KEPT, carve_begun, carve_refused};
use super::super::{CarveBegin, CarveBlock};

const BLOCK: &[u8] = br#"{"block_id":1,"session_id":"s-1","request_id":"d8945ba1","data":"aGVsbG8="}"#;

#[test]
fn beginnings_are_read_whatever_their_order_and_types() {
    let begin = CarveBegin::read(
        br#"{"block_count":2,"block_size":8192,"carve_size":15872,"carve_id":"4fcd","request_id":"d894","node_key":"k"}"#,
    )
    .unwrap();
    assert_eq!((begin.block_count, begin.block_size, begin.carve_size), (2, 8192, 15872));
    assert_eq!((&*begin.carve_id, &*begin.request_id, begin.node_key.as_deref()), ("4fcd", "d894", Some("k")));
    let shown = format!("{begin:?}");
    assert!(!shown.contains("4fcd") && !shown.contains("node_key"), "{shown}");
    // Agents before 4.7 name requests by numbers; those before 3.2 write numbers as text.
    let old =
        CarveBegin::read(br#"{"node_key":"k","request_id":12,"block_count":"1","block_size":"4","carve_size":"3"}"#);
    let old = old.unwrap();
    assert_eq!((&*old.request_id, old.block_count, &*old.carve_id), ("12", 1, ""));
    for bad in
        ["{", "[]", r#"{"block_count":-1}"#, r#"{"block_size":1.5}"#, r#"{"carve_size":null}"#, r#"{"node_key":1}"#]
    {
        assert!(CarveBegin::read(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn blocks_say_where_their_data_is() {
    let block = CarveBlock::read(BLOCK).unwrap();
    assert_eq!((block.block_id, &*block.session_id, &*block.request_id), (1, "s-1", "d8945ba1"));
    assert_eq!(&BLOCK[block.data.clone()], b"aGVsbG8=");
    assert!(!format!("{block:?}").contains("s-1"));
    let none = CarveBlock::read(br#"{"block_id":0}"#).unwrap();
    assert_eq!((&*none.session_id, none.data), ("", 0..0));
    for bad in
        [r#"{"data":"x"}"#, r#"{"block_id":0,"data":7}"#, r#"{"block_id":"x"}"#, r#"{"block_id":0,"session_id":[]}"#]
    {
        assert!(CarveBlock::read(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn the_session_is_found_in_front_of_data_that_has_not_come() {
    let data = BLOCK.iter().position(|byte| *byte == b'G').unwrap();
    assert_eq!(CarveBlock::session_in_front(&BLOCK[..data]).as_deref(), Some("s-1"));
    let cut = BLOCK.windows(3).position(|three| three == b"s-1").unwrap() + 2;
    assert_eq!(CarveBlock::session_in_front(&BLOCK[..cut]), None);
    assert_eq!(CarveBlock::session_in_front(br#"{"data":"\"session_id\":\"forged\","#), None);
    assert_eq!(CarveBlock::session_in_front(br#"{"inner":{"session_id":"forged"},"#), None);
}

#[test]
fn refusals_of_carves_are_no_json_whatever_they_say() {
    for reason in ["", "{}", "null", "1", "no \"quotes\"", "\n{\"error\":1}"] {
        assert!(serde_json::from_slice::<serde_json::Value>(&carve_refused(reason)).is_err(), "{reason}");
    }
    assert_eq!(BLOCK_KEPT, br#"{"success":true}"#);
    assert_eq!(carve_begun("s"), br#"{"session_id":"s","success":true}"#);
}

proptest! {
    #[test]
    fn nothing_that_agents_send_breaks_the_readers(body in prop::collection::vec(any::<u8>(), 0..200), cut in 0..BLOCK.len()) {
        // Neither may panic, and what is found is in the body.
        for body in [&body[..], &BLOCK[..cut], &[&BLOCK[..cut], &body[..]].concat()] {
            drop(CarveBegin::read(body));
            drop(CarveBlock::session_in_front(body));
            if let Ok(block) = CarveBlock::read(body) {
                prop_assert!(body.get(block.data).is_some());
            }
        }
    }
}
