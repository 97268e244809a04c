//! Finds the lines of a repeated batch.
//!
//! When an acknowledgement is lost, the agent sends the same lines again, with newer ones among them. A batch that holds
//! every line of the last accepted one, each at least as often, is such a repeat. Anything less is not: equal lines within
//! and between batches can be meant, and to drop one of those would lose data. So the comparison is of multisets, and all
//! or nothing.

use std::hash::Hasher as _;
#[expect(
    deprecated,
    reason = "the only hash of the standard library whose keys can be given, and is the same everywhere"
)]
use std::hash::SipHasher;

use super::LogLines;

/// Hashes lines under a secret key, so that nobody can prepare a line with the hash of another, which would be dropped.
#[derive(Clone, Copy)]
pub struct LineHasher(u64, u64);

impl std::fmt::Debug for LineHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LineHasher(..)")
    }
}

impl LineHasher {
    /// A key of this process alone.
    pub fn random() -> Self {
        Self(rand::random(), rand::random())
    }

    /// Gives the same hashes on every node with this key.
    pub fn with_key(key: (u64, u64)) -> Self {
        Self(key.0, key.1)
    }

    #[expect(deprecated, reason = "see its import")]
    fn hash(self, line: &[u8]) -> u64 {
        let mut hasher = SipHasher::new_with_keys(self.0, self.1);
        hasher.write(line);
        hasher.finish()
    }
}

/// The hashes of the last accepted batch of a host.
#[derive(Debug, Default)]
pub struct LastBatch {
    /// Sorted, with the hash of a line as often as the line came.
    hashes: Box<[u64]>,
    /// Other nodes could not be told of it, so what they know is older.
    pub is_unshared: bool,
}

impl LastBatch {
    /// The batch another node kept.
    pub fn of(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        Self { hashes: hashes.into(), is_unshared: false }
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Returns the batch to remember, of all `lines`, and the lines that are not repeats of this batch.
    pub fn without_repeats(&self, hasher: LineHasher, lines: LogLines) -> (Self, LogLines) {
        let mut hashed: Vec<(u64, usize)> =
            lines.iter().enumerate().map(|(index, line)| (hasher.hash(line), index)).collect();
        hashed.sort_unstable();
        let batch = Self { hashes: hashed.iter().map(|(hash, _)| *hash).collect(), is_unshared: false };
        let Some(repeats) = self.found_in(&hashed) else { return (batch, lines) };
        let new_lines = lines.iter().zip(repeats).filter(|(_, is_repeat)| !is_repeat).map(|(line, _)| line).collect();
        (batch, new_lines)
    }

    /// Marks the lines of this batch in a sorted one, or `None` unless all of them are there.
    fn found_in(&self, sorted: &[(u64, usize)]) -> Option<Vec<bool>> {
        if self.hashes.is_empty() || self.hashes.len() > sorted.len() {
            return None;
        }
        let mut repeats = vec![false; sorted.len()];
        // why: both sides are sorted, so one walk compares the multisets. `find` consumes what it passes, so that each
        // line of the new batch counts for one line of the last.
        let mut rest = sorted.iter();
        for hash in &self.hashes {
            let (_, index) = rest.find(|(found, _)| found >= hash).filter(|(found, _)| found == hash)?;
            repeats[*index] = true;
        }
        Some(repeats)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> LogLines {
        text.as_bytes().chunks(1).collect()
    }

    fn new_after(last: &str, batch: &str) -> String {
        let hasher = LineHasher::random();
        let (remembered, _) = LastBatch::default().without_repeats(hasher, lines(last));
        let (_, new) = remembered.without_repeats(hasher, lines(batch));
        new.iter().map(|line| char::from(line[0])).collect()
    }

    #[test]
    fn a_repeat_with_newer_lines_gives_the_newer_ones() {
        assert_eq!(new_after("abc", "abcde"), "de");
        assert_eq!(new_after("abc", "dacbe"), "de");
        assert_eq!(new_after("abc", "abc"), "");
    }

    #[test]
    fn equal_lines_count() {
        assert_eq!(new_after("aa", "a"), "a");
        assert_eq!(new_after("aa", "aa"), "");
        assert_eq!(new_after("aa", "aaa"), "a");
        assert_eq!(new_after("a", "aa"), "a");
    }

    #[test]
    fn part_of_the_last_batch_is_no_repeat() {
        assert_eq!(new_after("abc", "abd"), "abd");
        assert_eq!(new_after("", "ab"), "ab");
    }

    proptest! {
        #[test]
        fn a_repeat_loses_exactly_the_last_batch(last in "[a-e]{1,12}", newer in "[a-e]{0,12}", seed in any::<u64>()) {
            let mut batch: Vec<char> = last.chars().chain(newer.chars()).collect();
            let length = batch.len();
            for i in 0..length {
                batch.swap(i, (seed as usize).wrapping_mul(i + 7) % length);
            }
            let text: String = batch.iter().collect();
            let mut left: Vec<char> = new_after(&last, &text).chars().collect();
            let mut expected: Vec<char> = newer.chars().collect();
            left.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(left, expected);
        }
    }
}
