//! Comparing what the server said it took with what stands in its log files. Files are read once, line by line; memory
//! grows by one bit per line that was made.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use serde::Serialize;

use super::{
    ledger::{Account, Ledger},
    lines::{Stream, TAG, Tag},
    template::find,
};

/// Identities named in each list of examples.
const EXAMPLES: usize = 10;

/// Result of a verification: what became of the lines of some runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Lines the server took.
    pub acknowledged: u64,
    /// Of those, how many are there at least once.
    pub found: u64,
    /// Of those, how many are not there.
    pub lost: u64,
    /// Lines that are there though they were there already.
    pub doubled: u64,
    /// Status lines that are there again because an answer was lost, which is allowed: servers keep them when in doubt.
    pub in_doubt: u64,
    /// Lines that are there and were never acknowledged, which is allowed: an answer may have been lost.
    pub unacknowledged: u64,
    /// Lines of nobody in the ledgers.
    pub foreign: u64,
    /// Some identities.
    pub examples: Examples,
}

/// Some identities of each defect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "named like the counts")]
pub struct Examples {
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
}

struct Seen {
    account: Account,
    bits: Vec<u64>,
}

/// Reads destinations and says what is missing.
pub struct Verifier {
    seen: HashMap<(u32, u32, Stream), Seen>,
    verified: Verified,
}

impl Verifier {
    /// For lines of these runs; of one run there may be several ledgers, of different agents.
    #[must_use]
    pub fn new(ledgers: impl IntoIterator<Item = Ledger>) -> Self {
        let mut seen = HashMap::new();
        let mut verified = Verified::default();
        for ledger in ledgers {
            verified.acknowledged += ledger.acknowledged();
            for ((agent, stream), account) in ledger.accounts {
                let bits = vec![0; account.made.div_ceil(64) as usize];
                seen.insert((ledger.run, agent, stream), Seen { account, bits });
            }
        }
        Self { seen, verified }
    }

    /// Reads one file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_file(&mut self, path: &Path) -> io::Result<()> {
        self.read(BufReader::with_capacity(1 << 20, File::open(path)?))
    }

    /// Reads lines.
    ///
    /// # Errors
    /// If reading fails.
    pub fn read(&mut self, mut source: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while {
            line.clear();
            source.read_until(b'\n', &mut line)? > 0
        } {
            // A line without its end was cut off: a crash can leave that, and it is not a whole line then.
            if line.last() == Some(&b'\n') && line.len() > 1 {
                self.line(&line);
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) {
        let tag = find(line, TAG.as_bytes()).and_then(|at| Tag::read(&line[at..]));
        let account = tag.and_then(|tag| Some((tag, self.seen.get_mut(&(tag.run, tag.agent, tag.stream))?)));
        let Some((tag, seen)) = account.filter(|(tag, seen)| tag.sequence < seen.account.made) else {
            self.verified.foreign += 1;
            return;
        };
        let (word, bit) = ((tag.sequence / 64) as usize, 1_u64 << (tag.sequence % 64));
        if seen.bits[word] & bit != 0 {
            if tag.stream == Stream::Statuses && seen.account.went_unanswered(tag.sequence) {
                self.verified.in_doubt += 1;
                return;
            }
            self.verified.doubled += 1;
            example(&mut self.verified.examples.doubled, tag);
            return;
        }
        seen.bits[word] |= bit;
        if seen.account.has(tag.sequence) {
            self.verified.found += 1;
        } else {
            self.verified.unacknowledged += 1;
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Verified {
        self.verified.lost = self.verified.acknowledged - self.verified.found;
        if self.verified.lost > 0 {
            let mut keys: Vec<_> = self.seen.keys().copied().collect();
            keys.sort_unstable();
            for key in keys {
                let (run, agent, stream) = key;
                let seen = &self.seen[&key];
                let all = seen.account.acknowledged.iter().flat_map(|(first, last)| *first..=*last);
                for sequence in all.filter(|n| seen.bits[(n / 64) as usize] & (1 << (n % 64)) == 0) {
                    example(&mut self.verified.examples.lost, Tag { run, agent, stream, sequence });
                }
                if self.verified.examples.lost.len() >= EXAMPLES {
                    break;
                }
            }
        }
        self.verified
    }
}

fn example(list: &mut Vec<String>, tag: Tag) {
    if list.len() < EXAMPLES {
        list.push(tag.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u32 = 0xbeef;

    fn ledger() -> Ledger {
        let mut ledger = Ledger { run: RUN, ..Ledger::default() };
        let results = Account { made: 200, acknowledged: vec![(0, 99), (110, 149)], unanswered: vec![(0, 9)] };
        ledger.accounts.insert((1, Stream::Results), results);
        let statuses = Account { made: 2, acknowledged: vec![(0, 0)], unanswered: vec![(0, 0)] };
        ledger.accounts.insert((2, Stream::Statuses), statuses);
        ledger
    }

    fn line(agent: u32, stream: Stream, sequence: u32) -> String {
        let tag = Tag { run: RUN, agent, stream, sequence };
        format!("{{\"name\":\"q\",\"columns\":{{\"load_tag\":\"{tag}\",\"x\":\"1\"}},\"action\":\"added\"}}\n")
    }

    /// A destination that holds everything that was acknowledged.
    fn whole() -> Vec<String> {
        let mut lines: Vec<_> = (0..100).chain(110..150).map(|n| line(1, Stream::Results, n)).collect();
        lines.push(line(2, Stream::Statuses, 0));
        lines
    }

    fn verify(lines: &[String]) -> Verified {
        let mut verifier = Verifier::new([ledger()]);
        verifier.read(lines.concat().as_bytes()).unwrap();
        verifier.finish()
    }

    #[test]
    fn a_whole_destination_has_no_defect() {
        let expected = Verified { acknowledged: 141, found: 141, ..Verified::default() };
        assert_eq!(verify(&whole()), expected);
        let mut reversed = whole();
        reversed.reverse();
        assert_eq!(verify(&reversed), expected);
    }

    #[test]
    fn a_lost_line_is_named() {
        let mut lines = whole();
        lines.remove(42);
        let verified = verify(&lines);
        assert_eq!((verified.lost, verified.doubled, verified.found), (1, 0, 140));
        assert_eq!(verified.examples.lost, ["loadtest:0000beef:1:r:42"]);
        // The same when only its end is missing.
        let mut cut = whole();
        let last = cut.pop().unwrap();
        cut.push(last.trim_end().to_owned());
        assert_eq!(verify(&cut).examples.lost, ["loadtest:0000beef:2:s:0"]);
    }

    #[test]
    fn a_doubled_line_is_named_and_hides_no_lost_one() {
        let mut lines = whole();
        lines[7] = lines[8].clone();
        let verified = verify(&lines);
        assert_eq!((verified.lost, verified.doubled), (1, 1));
        assert_eq!(verified.examples.lost, ["loadtest:0000beef:1:r:7"]);
        assert_eq!(verified.examples.doubled, ["loadtest:0000beef:1:r:8"]);
    }

    #[test]
    fn a_status_line_whose_answer_was_lost_may_be_there_again_and_a_result_may_not() {
        let mut lines = whole();
        lines.push(line(2, Stream::Statuses, 0));
        let verified = verify(&lines);
        assert_eq!((verified.doubled, verified.in_doubt), (0, 1));
        lines.push(line(1, Stream::Results, 0));
        lines.extend([line(2, Stream::Statuses, 1), line(2, Stream::Statuses, 1)]);
        let verified = verify(&lines);
        assert_eq!((verified.doubled, verified.in_doubt), (2, 1));
    }

    #[test]
    fn lines_that_were_never_acknowledged_may_be_there_once() {
        let mut lines = whole();
        lines.push(line(1, Stream::Results, 105));
        let verified = verify(&lines);
        assert_eq!((verified.lost, verified.doubled, verified.unacknowledged), (0, 0, 1));
        lines.push(line(1, Stream::Results, 105));
        assert_eq!(verify(&lines).doubled, 1);
    }

    #[test]
    fn lines_of_others_are_foreign() {
        let mut lines = whole();
        lines.push("{\"name\":\"somebody else's\"}\n".to_owned());
        lines.push(line(3, Stream::Results, 0));
        lines.push(line(1, Stream::Results, 200));
        lines.push(line(1, Stream::Results, 1).replace("0000beef", "0000beee"));
        let verified = verify(&lines);
        assert_eq!((verified.lost, verified.doubled, verified.foreign), (0, 0, 4));
    }
}
