//! Finds the lines of a repeated batch.
//!
//! When an acknowledgement is lost, the agent sends the same lines again, with newer ones among them. In the protocol such a
//! repeat looks like new lines that are equal, and to drop new lines would lose evidence. So a batch is a repeat only when
//! all of this holds; otherwise every line of it is kept:
//!
//! - It holds every line of the last accepted batch, each at least as often.
//! - It comes within [`REPEATED_WITHIN`] of that batch.
//! - Every repeated line names its time, and a result also its count of runs ([`LogStream::told_apart_by`]). New lines of
//!   another run or another second then differ.
//! - At least one line of the last batch came once, and a status batch had another line besides. One run or one second can
//!   give more equal lines than fit one batch, so a batch of copies alone proves nothing; nor does a single status line,
//!   whose second may bring it again.
//!
//! What is left: one run, or one second, gives some line in several copies and another one, and the rest of it, in the next
//! batch, holds all of them again. Those lines are taken for repeats.

use std::hash::Hasher as _;
#[expect(
    deprecated,
    reason = "the only hash of the standard library whose keys can be given, and is the same everywhere"
)]
use std::hash::SipHasher;
use std::time::Duration;

use muster_api::osquery::scan::{self, ValueKind};
use serde_json::json;

use super::host_log::Candidates;
use super::{LogLines, LogStream};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::{Store, settings};

/// Hashes lines under a secret key, so that nobody can prepare a line with the hash of another, which would be dropped.
#[derive(Clone, Copy)]
pub struct LineHasher((u64, u64));

impl std::fmt::Debug for LineHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LineHasher(..)")
    }
}

impl LineHasher {
    /// Uses the key that the first node has put into the database: hashes outlive a process, and nodes share them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn stored(store: &Store, now: Moment) -> Result<Self> {
        let stored = async || -> Result<Option<(u64, u64)>> {
            let value = settings::get(store.reader(), settings::LOG_HASH_KEY).await?;
            Ok(value.and_then(|value| serde_json::from_value(value).ok()))
        };
        if let Some(key) = stored().await? {
            return Ok(Self(key));
        }
        let key: (u64, u64) = (rand::random(), rand::random());
        let written = store.write(async |tx| settings::set(tx, settings::LOG_HASH_KEY, &json!(key), now).await).await;
        // why read again: two nodes may start at one time, and both must use the key that is stored.
        match (stored().await?, written) {
            (Some(key), _) => Ok(Self(key)),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(())) => Ok(Self(key)),
        }
    }

    #[expect(deprecated, reason = "see its import")]
    fn hash(self, line: &[u8]) -> u64 {
        let mut hasher = SipHasher::new_with_keys(self.0.0, self.0.1);
        hasher.write(line);
        hasher.finish()
    }
}

/// How long after a batch another one can be its repeat. Agents pause at most `logger_tls_backoff_max` (3,600 s) and
/// `logger_tls_period` between two attempts.
pub const REPEATED_WITHIN: Duration = Duration::from_secs(2 * 3600);

/// The hashes of the last accepted batch of a host.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LastBatch {
    /// Sorted, with the hash of a line as often as the line came.
    hashes: Box<[u64]>,
    accepted_at: Moment,
}

/// The lines of a batch and their hashes.
pub struct Hashed {
    lines: LogLines,
    /// Each hash with the position of its line, sorted.
    hashes: Vec<(u64, usize)>,
}

impl Hashed {
    pub fn of(lines: LogLines, hasher: LineHasher) -> Self {
        let mut hashes: Vec<_> = lines.iter().enumerate().map(|(index, line)| (hasher.hash(line), index)).collect();
        hashes.sort_unstable();
        Self { lines, hashes }
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn total_bytes(&self) -> usize {
        self.lines.total_bytes()
    }

    /// The batch to remember once the lines are kept.
    pub fn accepted(&self, now: Moment) -> LastBatch {
        LastBatch::of(self.hashes.iter().map(|(hash, _)| *hash).collect(), now)
    }

    /// The lines that are not repeats of the last batch, or of any that may be the last.
    pub fn without_repeats(self, known: Candidates<'_>, stream: LogStream, now: Moment) -> LogLines {
        let repeats = known.into_iter().flatten().filter_map(|last| self.repeats(last, stream, now));
        let either = |one: Vec<bool>, other: Vec<bool>| one.into_iter().zip(other).map(|(a, b)| a || b).collect();
        let Some(repeats) = repeats.reduce(either) else { return self.lines };
        self.lines.iter().zip(repeats).filter(|(_, is_repeat)| !is_repeat).map(|(line, _)| line).collect()
    }

    /// Marks the lines of the last batch, or `None` when this is no repeat of it.
    fn repeats(&self, last: &LastBatch, stream: LogStream, now: Moment) -> Option<Vec<bool>> {
        if !last.can_come_again(stream, now) {
            return None;
        }
        let mut repeats = vec![false; self.hashes.len()];
        // why: both sides are sorted, so one walk compares the multisets. `find` consumes what it passes, so that each
        // line of the new batch counts for one line of the last.
        let mut rest = self.hashes.iter();
        for hash in &last.hashes {
            let (_, index) = rest.find(|(found, _)| found >= hash).filter(|(found, _)| found == hash)?;
            repeats[*index] = true;
        }
        let mut repeated = self.lines.iter().zip(&repeats).filter(|(_, is_repeat)| **is_repeat);
        repeated.all(|(line, _)| names_all(line, stream.told_apart_by())).then_some(repeats)
    }
}

impl LastBatch {
    /// A batch accepted at a moment, here or by another node.
    pub fn of(mut hashes: Vec<u64>, accepted_at: Moment) -> Self {
        hashes.sort_unstable();
        Self { hashes: hashes.into(), accepted_at }
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    pub fn accepted_at(&self) -> Moment {
        self.accepted_at
    }

    /// Whether an agent may still send the batch again.
    pub fn is_recent(&self, now: Moment) -> bool {
        !self.is_empty() && now.since(self.accepted_at) <= REPEATED_WITHIN
    }

    fn can_come_again(&self, stream: LogStream, now: Moment) -> bool {
        let least_kinds = match stream {
            LogStream::Result => 1,
            LogStream::Status => 2,
        };
        let kinds = || self.hashes.chunk_by(|a, b| a == b);
        self.is_recent(now) && kinds().any(|same| same.len() == 1) && kinds().nth(least_kinds - 1).is_some()
    }
}

/// Whether a line is an object with all of these members, each a number or text that is not empty: agents before 3.2
/// write numbers as text.
fn names_all(line: &[u8], members: &[&str]) -> bool {
    let mut found = 0_u32;
    for member in scan::members(line) {
        let Ok(member) = member else { return false };
        let position = members.iter().position(|name| member.key.is(name));
        if let Some(position) = position
            && matches!(member.value.kind(), ValueKind::Number | ValueKind::String)
            && !member.value.is_empty()
        {
            found |= 1 << position;
        }
    }
    found.count_ones() as usize == members.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Moment = Moment(1_768_478_400_000_000);

    /// Result lines, one for each letter.
    fn lines(text: &str) -> LogLines {
        let line = |letter| format!("{{\"unixTime\":1,\"counter\":\"2\",\"columns\":{{\"x\":\"{letter}\"}}}}\n");
        let lines: Vec<String> = text.chars().map(line).collect();
        lines.iter().map(String::as_bytes).collect()
    }

    /// The lines of a batch that are kept after another one.
    fn kept(last: LogLines, batch: LogLines, stream: LogStream, after: Duration) -> LogLines {
        let hasher = LineHasher((7, 9));
        let last = Hashed::of(last, hasher).accepted(NOW);
        Hashed::of(batch, hasher).without_repeats([Some(&last), None], stream, NOW.plus(after))
    }

    fn kept_letters(last: &str, batch: &str, stream: LogStream, after: Duration) -> String {
        let kept = kept(lines(last), lines(batch), stream, after);
        kept.iter().map(|line| char::from(line[line.len() - 5])).collect()
    }

    fn new_after(last: &str, batch: &str) -> String {
        kept_letters(last, batch, LogStream::Result, REPEATED_WITHIN)
    }

    #[test]
    fn a_repeat_with_newer_lines_gives_the_newer_ones() {
        assert_eq!(new_after("abc", "abcde"), "de");
        assert_eq!(new_after("abc", "dacbe"), "de");
        assert_eq!(new_after("abc", "abc"), "");
        assert_eq!(new_after("a", "aa"), "a");
    }

    #[test]
    fn a_repeat_of_either_of_two_batches_loses_the_lines_of_both() {
        let hasher = LineHasher((7, 9));
        let [one, other] = ["ab", "bcd"].map(|last| Hashed::of(lines(last), hasher).accepted(NOW));
        let new_in = |batch| {
            let kept =
                Hashed::of(lines(batch), hasher).without_repeats([Some(&one), Some(&other)], LogStream::Result, NOW);
            kept.iter().map(|line| char::from(line[line.len() - 5])).collect::<String>()
        };
        assert_eq!(new_in("abx"), "x");
        assert_eq!(new_in("xbcd"), "x");
        assert_eq!(new_in("abxcd"), "x");
        assert_eq!(new_in("acdx"), "acdx");
    }

    #[test]
    fn equal_lines_count() {
        assert_eq!(new_after("aab", "ab"), "ab");
        assert_eq!(new_after("aab", "aab"), "");
        assert_eq!(new_after("aab", "aaab"), "a");
    }

    #[test]
    fn part_of_the_last_batch_is_no_repeat() {
        assert_eq!(new_after("abc", "abd"), "abd");
        assert_eq!(new_after("", "ab"), "ab");
    }

    #[test]
    fn a_batch_of_copies_alone_is_never_repeated() {
        assert_eq!(new_after("aa", "aa"), "aa");
        assert_eq!(new_after("aabb", "aabbb"), "aabbb");
        let statuses = |last, batch| kept_letters(last, batch, LogStream::Status, Duration::ZERO);
        assert_eq!(statuses("a", "a"), "a");
        assert_eq!(statuses("aa", "aab"), "aab");
        assert_eq!(statuses("ab", "ab"), "");
        assert_eq!(statuses("aabb", "aabbc"), "aabbc");
        assert_eq!(statuses("aabbd", "aabbdc"), "c");
    }

    #[test]
    fn nothing_is_a_repeat_when_agents_have_given_up() {
        let late = REPEATED_WITHIN + Duration::from_micros(1);
        for stream in [LogStream::Result, LogStream::Status] {
            assert_eq!(kept_letters("ab", "abc", stream, REPEATED_WITHIN), "c");
            assert_eq!(kept_letters("ab", "abc", stream, late), "abc");
        }
    }

    #[test]
    fn lines_that_do_not_name_their_time_are_never_repeated() {
        for (line, is_result, is_status) in [
            (r#"{"unixTime":1,"counter":0}"#, true, true),
            (r#"{"counter":"0","x":{},"unixTime":"1"}"#, true, true),
            (r#"{"unixTime":1,"message":"counter"}"#, false, true),
            (r#"{"counter":1,"unixTime":""}"#, false, false),
            (r#"{"counter":1,"unixTime":null}"#, false, false),
            (r#"{"columns":{"unixTime":1,"counter":0}}"#, false, false),
            (r#"{"unixTime":1,"unixTime":2}"#, false, true),
            (r#"["unixTime","counter"]"#, false, false),
            ("7", false, false),
        ] {
            // A second line, so that a status batch has two different ones.
            let batch = || [line, r#"{"unixTime":3,"counter":4}"#].iter().map(|line| line.as_bytes()).collect();
            let is_repeat = |stream| kept(batch(), batch(), stream, Duration::ZERO).is_empty();
            assert_eq!((is_repeat(LogStream::Result), is_repeat(LogStream::Status)), (is_result, is_status), "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_repeat_loses_exactly_the_last_batch(last in "[a-e]{0,12}", newer in "[a-e]{0,12}", seed in any::<u64>()) {
            // A line that comes once.
            let last = last + "f";
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
