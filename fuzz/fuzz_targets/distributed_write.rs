#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use muster_api::osquery::{DistributedWrite, MAX_RESULTS, node_key};

fuzz_target!(|body: &[u8]| {
    let Ok(write) = DistributedWrite::read(body) else {
        return;
    };
    assert_eq!(node_key(body).ok(), Some(write.node_key.clone()));
    assert!(write.results.len() <= MAX_RESULTS);
    let ids: HashSet<&str> = write.results.iter().map(|(id, _)| id.as_ref()).collect();
    assert_eq!(ids.len(), write.results.len());

    let (mut raw, mut decoded) = (0, 0);
    for (_, result) in &write.results {
        assert_eq!(result.succeeded(), result.status == 0);
        assert!(
            result
                .message
                .as_ref()
                .is_none_or(|message| !message.is_empty())
        );
        let rows = result.rows.decode();
        assert_eq!(rows.len(), result.rows.row_count());
        assert_eq!(rows.is_empty(), result.rows.is_empty());
        for (row, columns) in result.rows.iter().zip(&rows) {
            assert_eq!(row.column_count(), columns.len());
            assert!(row.raw().starts_with(b"{") && row.raw().ends_with(b"}"));
            raw += row.raw().len();
            decoded += columns
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        }
    }
    assert!(raw <= body.len());
    // One byte that is not UTF-8 becomes three.
    assert!(decoded <= 3 * body.len());
});
