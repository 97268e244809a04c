//! Difference between the rows of two runs of a query.

use std::collections::BTreeMap;

/// Rows that are gone and rows that are new; equal rows are counted, not merged.
///
/// Removed rows are sorted, added ones keep the order of `new`.
pub(super) fn difference(old: &[Box<str>], new: &[Box<str>]) -> (Vec<Box<str>>, Vec<Box<str>>) {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for row in old {
        *left.entry(row).or_default() += 1;
    }
    let mut added = Vec::new();
    for row in new {
        match left.get_mut(&**row) {
            Some(count) if *count > 0 => *count -= 1,
            _ => added.push(row.clone()),
        }
    }
    let removed = left.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row.into(), count)).collect();
    (removed, added)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&str]) -> Vec<Box<str>> {
        texts.iter().map(|text| (*text).into()).collect()
    }

    #[test]
    fn equal_rows_are_counted() {
        let (removed, added) = difference(&rows(&["b", "a", "a", "c"]), &rows(&["d", "a", "b", "b"]));
        assert_eq!(removed, rows(&["a", "c"]));
        assert_eq!(added, rows(&["d", "b"]));
    }
}
