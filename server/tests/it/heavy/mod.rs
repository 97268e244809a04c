//! Tests that need the whole machine: `make test` runs these one at a time.

mod answers;
mod flipping;
mod lists;
mod load;
mod memory;

/// A write with about `bytes` of rows, a small part of them hostile: text that grows when it is written.
fn large_answer(id: i64, key: &str, bytes: usize) -> String {
    let name = format!("fleet_distributed_query_{id}");
    let mut rows = String::new();
    let mut count = 0;
    while rows.len() < bytes {
        let text = if count % 100 == 0 { "\u{1}\u{2}\u{3}" } else { "plain" };
        rows += &format!("{{\"n\":\"{count}\",\"path\":\"\\/usr\\/lib\\/{count}\",\"text\":\"{text}\"}},");
        count += 1;
    }
    rows.pop();
    format!("{{\"queries\":{{\"{name}\":[{rows}]}},\"statuses\":{{\"{name}\":0}},\"node_key\":\"{key}\"}}")
}
