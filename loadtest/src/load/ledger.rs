//! The ledger of acknowledged log lines, for [`super::verify`]: a line of text per agent and stream.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
};

use super::lines::Stream;

const HEAD: &str = "loadtest-ledger 2";

/// The lines of one agent's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Lines that were made: numbers below this.
    pub made: u32,
    /// First and last number of each run of lines that the server took.
    pub acknowledged: Vec<(u32, u32)>,
    /// First and last number of the lines of each request whose answer was lost.
    pub unanswered: Vec<(u32, u32)>,
}

impl Account {
    /// Number of lines that the server acknowledged.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.acknowledged.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    pub(super) fn has(&self, sequence: u32) -> bool {
        is_in(&self.acknowledged, sequence)
    }

    pub(super) fn went_unanswered(&self, sequence: u32) -> bool {
        is_in(&self.unanswered, sequence)
    }
}

fn is_in(ranges: &[(u32, u32)], sequence: u32) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&sequence))
}

/// Lines that agents of one run made, and those that the server acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The run, part of every identity.
    pub run: u32,
    /// By agent and stream.
    pub accounts: HashMap<(u32, Stream), Account>,
}

impl Ledger {
    /// Lines the server took.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.accounts.values().map(Account::count).sum()
    }

    /// Writes it down.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(out, "{HEAD} {:08x}", self.run)?;
        let mut sorted: Vec<_> = self.accounts.iter().collect();
        sorted.sort_unstable_by_key(|((agent, stream), _)| (*agent, *stream));
        for ((agent, stream), account) in sorted {
            write!(out, "{agent} {} {}", stream.letter(), account.made)?;
            for ranges in [&account.acknowledged, &account.unanswered] {
                for (at, (first, last)) in ranges.iter().enumerate() {
                    let before = if at > 0 { "," } else { " " };
                    write!(out, "{before}{first}-{last}")?;
                }
                if ranges.is_empty() {
                    write!(out, " ")?;
                }
            }
            writeln!(out)?;
        }
        out.flush()
    }

    /// Reads what [`Ledger::write`] wrote.
    ///
    /// # Errors
    /// If reading fails or a line is not one of a ledger.
    pub fn read(source: impl BufRead) -> io::Result<Self> {
        let bad = |number: usize| io::Error::other(format!("line {} is not of a ledger", number + 1));
        let mut ledger = Self::default();
        for (number, line) in source.lines().enumerate() {
            let line = line?;
            if number == 0 {
                let run = line.strip_prefix(HEAD).and_then(|run| u32::from_str_radix(run.trim(), 16).ok());
                ledger.run = run.ok_or_else(|| bad(number))?;
                continue;
            }
            let (key, account) = read_account(&line).ok_or_else(|| bad(number))?;
            ledger.accounts.insert(key, account);
        }
        Ok(ledger)
    }
}

fn read_account(line: &str) -> Option<((u32, Stream), Account)> {
    let mut parts = line.split(' ');
    let key = (parts.next()?.parse().ok()?, Stream::of(parts.next()?)?);
    let made = parts.next()?.parse().ok()?;
    let acknowledged = read_ranges(parts.next()?, made)?;
    let unanswered = read_ranges(parts.next()?, made)?;
    Some((key, Account { made, acknowledged, unanswered }))
}

fn read_ranges(text: &str, made: u32) -> Option<Vec<(u32, u32)>> {
    let ranges = text.split(',').filter(|range| !range.is_empty()).map(|range| {
        let (first, last) = range.split_once('-')?;
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < made).then_some((first, last))
    });
    ranges.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_read_as_it_was_written() {
        let mut ledger = Ledger { run: 0xab, ..Ledger::default() };
        let account = Account { made: 9, acknowledged: vec![(0, 3), (5, 8)], unanswered: vec![(5, 6)] };
        ledger.accounts.insert((7, Stream::Results), account);
        ledger
            .accounts
            .insert((7, Stream::Statuses), Account { made: 1, unanswered: vec![(0, 0)], ..Account::default() });
        let mut text = Vec::new();
        ledger.write(&mut text).unwrap();
        assert_eq!(Ledger::read(&text[..]).unwrap(), ledger);
        assert_eq!(ledger.acknowledged(), 8);
        for bad in [
            "",
            "x\n",
            "loadtest-ledger 2 0\n7 r 3 0-3 \n",
            "loadtest-ledger 2 0\n7 r 3 0-2\n",
            "loadtest-ledger 2 0\n7 r\n",
        ] {
            let read = Ledger::read(bad.as_bytes());
            assert!(read.is_err() || bad.is_empty(), "{bad:?}");
        }
    }
}
