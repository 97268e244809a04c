//! Prints what taking a log body apart costs: `cargo run --release -p muster-api --example log_scan`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use muster_api::osquery::{Log, write_line};

/// Long enough for a stable mean.
const AT_LEAST: Duration = Duration::from_secs(2);

/// A body of about this many bytes, as agents send result lines.
fn body(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"node_key":"key","log_type":"result","data":["#.to_vec();
    let mut number = 0;
    while body.len() < bytes {
        if number > 0 {
            body.push(b',');
        }
        let line = format!(
            r#"{{"name":"pack/p/processes","hostIdentifier":"host-1","calendarTime":"Sat Nov 28 15:08:50 2026 UTC","unixTime":1795878530,"epoch":0,"counter":{number},"numerics":false,"columns":{{"pid":"{number}","path":"\/usr\/bin\/example","cmdline":"example --flag \"{number}\"","uid":"0"}},"action":"added"}}"#
        );
        body.extend_from_slice(line.as_bytes());
        number += 1;
    }
    body.extend_from_slice(b"]}");
    body
}

/// Takes a body apart as the server does: its lines in one piece, and where each of them ends.
fn take_apart(body: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let log = Log::read(body).expect("the body is well-formed");
    let (mut lines, mut ends) = (Vec::with_capacity(body.len()), Vec::new());
    for range in log.elements.into_ranges() {
        write_line(&body[range], &mut lines);
        ends.push(lines.len());
    }
    (lines, ends)
}

fn main() {
    for bytes in [4 << 10, 1 << 20] {
        let body = body(bytes);
        let start = Instant::now();
        let mut rounds = 0_u32;
        while start.elapsed() < AT_LEAST {
            black_box(take_apart(black_box(&body)));
            rounds += 1;
        }
        let mean = start.elapsed() / rounds;
        let mib_per_second = body.len() as f64 / mean.as_secs_f64() / f64::from(1 << 20);
        println!("{:>9} bytes: {mean:>10.1?} per body, {mib_per_second:.0} MiB/s", body.len());
    }
}
