//! What queries cost their hosts: last samples, costs, and what agents have stopped; and how many hosts there were. What is in the bytes is the business
//! of their users.

pub mod costs;
pub mod events;
pub mod host_counts;
pub mod samples;
pub mod versions;

/// Bytes that one statement carries at most, far below the least `max_allowed_packet`.
const STATEMENT_BYTES: usize = 4 << 20;

/// Takes rows off the front that go into one statement together: one at least.
fn take_statement<T>(rows: &mut Vec<T>, size: impl Fn(&T) -> usize) -> Vec<T> {
    let mut bytes = 0;
    let fitting = rows.iter().take_while(|row| {
        bytes += size(row);
        bytes <= STATEMENT_BYTES
    });
    let count = fitting.count().max(1).min(rows.len());
    let rest = rows.split_off(count);
    std::mem::replace(rows, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_have_a_bound_and_take_one_row_at_least() {
        let mut rows = vec![STATEMENT_BYTES / 2, STATEMENT_BYTES / 2, 1, STATEMENT_BYTES * 2, 1];
        let mut taken = Vec::new();
        while !rows.is_empty() {
            taken.push(take_statement(&mut rows, |bytes| *bytes).len());
        }
        assert_eq!(taken, [2, 1, 1, 1]);
    }
}
