use muster_api::osquery::DistributedWrite;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn written(body: &[u8], max_bytes: usize) -> (Vec<Value>, bool, usize) {
    let write = DistributedWrite::read(body).unwrap();
    let mut line = b"[".to_vec();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cut = runtime.block_on(write_rows(write.results[0].1.rows, max_bytes, usize::MAX, &mut line));
    let is_cut = cut.is_some();
    line.push(b']');
    (serde_json::from_slice(&line).unwrap(), is_cut, line.len())
}

/// The same by decoding every row.
fn decoded(body: &[u8], max_bytes: usize) -> (Vec<Value>, bool) {
    let write = DistributedWrite::read(body).unwrap();
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for row in write.results[0].1.rows.iter() {
        let columns: Map<String, Value> =
            row.columns().map(|(column, text)| (column.into_owned(), text.into_owned().into())).collect();
        bytes += row.raw().len() + ROW_OVERHEAD;
        if bytes > max_bytes {
            return (kept, true);
        }
        kept.push(Value::Object(columns));
    }
    (kept, false)
}

fn body(rows: &[Map<String, Value>]) -> Vec<u8> {
    format!("{{\"queries\":{{\"q\":{}}}}}", serde_json::to_string(rows).unwrap()).into_bytes()
}

proptest! {
    /// Rows as agents send them: compact, and with text in every column.
    #[test]
    fn what_is_written_is_what_was_sent_up_to_the_cap(
        rows in vec(vec((".{0,6}", ".{0,20}"), 0..5), 0..8),
        max_bytes in 0_usize..600,
    ) {
        let row = |row: Vec<(String, String)>| row.into_iter().map(|(name, text)| (name, text.into())).collect();
        let body = body(&rows.into_iter().map(row).collect::<Vec<_>>());
        let (kept, is_cut, _) = written(&body, usize::MAX);
        prop_assert_eq!((kept, is_cut), decoded(&body, usize::MAX));
        let (kept, is_cut, length) = written(&body, max_bytes);
        prop_assert!(length <= max_bytes + 2);
        let (expected, was_cut) = decoded(&body, max_bytes);
        prop_assert!(expected.starts_with(&kept) && (is_cut || !was_cut));
        // Only text that grows when it is written may cost more than it came as.
        if !body.contains(&b'\\') {
            prop_assert_eq!((kept, is_cut), (expected, was_cut));
        }
    }
}

#[test]
fn what_grows_when_it_is_written_stays_within_the_cap() {
    let grows = [b"{\"queries\":{\"q\":[{\"a\":\"".as_slice(), &vec![1; 9_000], b"\"},{}]}}"].concat();
    assert_eq!(written(&grows, 10_000), (Vec::new(), true, 2));
    let (kept, is_cut, length) = written(&grows, 60_000);
    assert_eq!((kept.len(), is_cut), (2, false));
    assert!(length > 6 * 9_000);
}

#[test]
fn a_line_says_what_the_answer_says() {
    let at = DateTime::from_timestamp(1_790_000_000, 1_000).unwrap();
    let stats = LiveStats { wall_time_ms: 1, user_time_ms: 2, system_time_ms: 3, memory_bytes: 4 };
    for (truncated, rows_sent, error, stats) in
        [(false, None, None, None), (true, Some(9), Some("say \"x\"\n".to_owned()), Some(stats))]
    {
        let answer = LiveAnswer {
            cursor: 7,
            host_id: 3,
            hostname: "a\"],\"rows\":[".to_owned(),
            state: TargetState::Failed,
            rows: Vec::new(),
            rows_sent,
            truncated,
            error,
            stats,
            carves: rows_sent.map(|_| "6a5f7a46".to_owned()).into_iter().collect(),
            at,
        };
        let kept = ResultLine { cursor: 7, text: line(&answer) };
        assert!(kept.text.starts_with(b"{\"host_id\":3,"));
        assert_eq!(serde_json::from_slice::<LiveAnswer>(&show(&kept)).unwrap(), answer);
        assert_eq!(Brief::of(&kept).unwrap().hostname, answer.hostname);
    }
}

/// After a restart the embedded bus has lines and no notes.
#[test]
fn the_note_of_a_kept_line_is_that_of_its_answer() {
    let stats = LiveStats { wall_time_ms: 7, user_time_ms: 3, system_time_ms: 2, memory_bytes: 1 };
    for (state, truncated, stats) in [
        (TargetState::Answered, true, Some(stats)),
        (TargetState::Failed, false, None),
        (TargetState::Suspect, false, None),
    ] {
        let answer = LiveAnswer {
            cursor: 0,
            host_id: 7,
            hostname: "a \"name\"],\"".to_owned(),
            state,
            rows: Vec::new(),
            rows_sent: truncated.then_some(9),
            truncated,
            error: Some("],\"".to_owned()),
            stats,
            carves: Vec::new(),
            at: Moment(1_768_478_400_000_001).to_utc(),
        };
        let line = line(&answer);
        let expected = Settlement::of(&answer).with_line(&line);
        let note = crate::fleet::live::note_of(&[line, b"\n".to_vec()].concat());
        assert_eq!(Settlement::from_bytes(&note, Moment(0)), expected);
    }
    let unknown = Settlement::from_bytes(&crate::fleet::live::note_of(b"{\"host_id\":7,\n"), Moment(0));
    assert_eq!(unknown.state, TargetState::Failed, "a host whose line cannot be read is accounted for");
}
