//! Lines waiting for the server to accept them.

use std::collections::VecDeque;

/// The two kinds of log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// Rows of scheduled queries.
    Result,
    /// Messages of the agent about itself.
    Status,
}

impl LineKind {
    /// The value of `log_type`.
    #[must_use]
    pub fn log_type(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Status => "status",
        }
    }
}

/// One stored line.
#[derive(Debug)]
pub(super) struct BufferedLine {
    at_s: u64,
    number: u32,
    sequence: u64,
    /// The agent drops lines that are not JSON when it is about to send them.
    pub is_json: bool,
    pub bytes: Box<[u8]>,
}

/// Stored lines in the order in which the agent's database returns them: by second, and within one second by the
/// decimal text of a running number, so that number 10 comes before number 9.
#[derive(Debug, Default)]
pub(super) struct LogBuffer {
    results: VecDeque<BufferedLine>,
    statuses: VecDeque<BufferedLine>,
    last_number: u32,
    sequence: u64,
}

/// The lines that one delivery is about, however many are added meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    results: usize,
    statuses: usize,
    newest: u64,
}

impl Window {
    pub fn count(self, kind: LineKind) -> usize {
        match kind {
            LineKind::Result => self.results,
            LineKind::Status => self.statuses,
        }
    }
}

impl LogBuffer {
    /// The first `max_lines` lines, results before status lines.
    pub fn window(&self, max_lines: usize) -> Window {
        let results = self.results.len().min(max_lines);
        Window { results, statuses: self.statuses.len().min(max_lines - results), newest: self.sequence }
    }

    /// The lines of one kind in a window.
    pub fn lines(&self, kind: LineKind, window: Window) -> impl Iterator<Item = &BufferedLine> {
        let lines = match kind {
            LineKind::Result => &self.results,
            LineKind::Status => &self.statuses,
        };
        lines.iter().filter(move |line| line.sequence <= window.newest).take(window.count(kind))
    }

    /// Removes and returns the lines of one kind in a window.
    pub fn take(&mut self, kind: LineKind, window: Window) -> Vec<BufferedLine> {
        let mut taken = Vec::new();
        let lines = self.lines_mut(kind);
        let mut at = 0;
        while taken.len() < window.count(kind) && at < lines.len() {
            if lines[at].sequence > window.newest {
                at += 1;
            } else if let Some(line) = lines.remove(at) {
                taken.push(line);
            }
        }
        taken
    }

    pub fn len(&self) -> usize {
        self.results.len() + self.statuses.len()
    }

    pub fn push(&mut self, kind: LineKind, bytes: Box<[u8]>, at_s: u64, is_json: bool) {
        self.last_number = self.last_number.wrapping_add(1);
        self.sequence += 1;
        let (number, sequence) = (self.last_number, self.sequence);
        let lines = self.lines_mut(kind);
        let text = number.to_string();
        let behind = lines
            .iter()
            .rev()
            .take_while(|other| other.at_s > at_s || (other.at_s == at_s && other.number.to_string() > text))
            .count();
        lines.insert(lines.len() - behind, BufferedLine { at_s, number, sequence, is_json, bytes });
    }

    /// Removes the oldest line of either kind.
    pub fn purge_oldest(&mut self) -> Option<LineKind> {
        let age = |line: Option<&BufferedLine>| line.map(|line| line.at_s);
        let kind = match (age(self.results.front()), age(self.statuses.front())) {
            (Some(result), Some(status)) if status < result => LineKind::Status,
            (Some(_), _) => LineKind::Result,
            (None, Some(_)) => LineKind::Status,
            (None, None) => return None,
        };
        self.lines_mut(kind).pop_front();
        Some(kind)
    }

    /// A new process counts from 1 again.
    pub fn restart(&mut self) {
        self.last_number = 0;
    }

    fn lines_mut(&mut self, kind: LineKind) -> &mut VecDeque<BufferedLine> {
        match kind {
            LineKind::Result => &mut self.results,
            LineKind::Status => &mut self.statuses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_second_are_ordered_by_the_text_of_their_number() {
        let mut buffer = LogBuffer::default();
        for number in 1..=11 {
            buffer.push(LineKind::Result, number.to_string().into_bytes().into(), 100, true);
        }
        buffer.push(LineKind::Result, b"later".as_slice().into(), 101, true);
        let window = buffer.window(99);
        assert_eq!(
            texts(buffer.take(LineKind::Result, window)),
            ["1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9", "later"]
        );
    }

    fn texts(lines: Vec<BufferedLine>) -> Vec<String> {
        lines.into_iter().map(|line| String::from_utf8(line.bytes.into()).unwrap()).collect()
    }

    #[test]
    fn a_line_that_sorts_into_a_window_later_is_not_part_of_it() {
        let mut buffer = LogBuffer::default();
        for number in 1..=9 {
            buffer.push(LineKind::Result, number.to_string().into_bytes().into(), 100, true);
        }
        let window = buffer.window(3);
        buffer.push(LineKind::Result, b"10".as_slice().into(), 100, true);
        assert_eq!(buffer.lines(LineKind::Result, window).count(), 3);
        assert_eq!(texts(buffer.take(LineKind::Result, window)), ["1", "2", "3"]);
        let rest = buffer.window(99);
        assert_eq!(texts(buffer.take(LineKind::Result, rest)), ["10", "4", "5", "6", "7", "8", "9"]);
    }

    #[test]
    fn the_oldest_line_of_either_kind_is_purged_first() {
        let mut buffer = LogBuffer::default();
        buffer.push(LineKind::Status, b"s".as_slice().into(), 5, true);
        buffer.push(LineKind::Result, b"r".as_slice().into(), 6, true);
        assert_eq!(buffer.purge_oldest(), Some(LineKind::Status));
        assert_eq!(buffer.purge_oldest(), Some(LineKind::Result));
        assert_eq!(buffer.purge_oldest(), None);
    }
}
