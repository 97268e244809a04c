#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_api::osquery::{Log, LogType, MAX_LOG_TYPE_BYTES, node_key, write_line};

fn line(element: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_line(element, &mut out);
    assert!(out.len() <= 2 * element.len() + 1);
    assert_eq!(
        out.iter()
            .filter(|byte| matches!(byte, b'\n' | b'\r'))
            .count(),
        1
    );
    assert_eq!(out.last(), Some(&b'\n'));
    out
}

fuzz_target!(|body: &[u8]| {
    // Framing must hold even for what is not JSON.
    line(body);
    let Ok(log) = Log::read(body) else { return };
    assert_eq!(node_key(body).ok(), Some(log.node_key.clone()));
    if let LogType::Unknown(name) = &log.log_type {
        assert!(name.len() <= MAX_LOG_TYPE_BYTES);
    }
    let (mut count, mut bytes) = (0, 0);
    for element in log.elements.iter() {
        count += 1;
        bytes += element.len();
        let line = line(element);
        // The line is still one value: it can stand in a body again, and comes out unchanged.
        let again = [b"{\"data\":[", line.as_slice(), b"]}"].concat();
        let again = Log::read(&again).expect("a line is well-formed");
        let again: Vec<&[u8]> = again.elements.iter().collect();
        assert_eq!(again, [&line[..line.len() - 1]]);
    }
    assert_eq!(count, log.elements.len());
    assert!(bytes <= body.len());
});
