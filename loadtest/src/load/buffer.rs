//! Lines an agent has not delivered yet, and which it has.

use serde::Serialize;

/// Bytes of lines an agent keeps when the server does not take them; newer ones are then dropped.
const MAX_BYTES: usize = 512 * 1024;

/// One stream of lines of one agent. Lines are numbered in the order they were made.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Elements of `data`, with commas between.
    pub lines: Vec<u8>,
    /// Number of the first line in `lines`.
    first: u32,
    /// Number of the next line.
    next: u32,
    /// Number of lines in the request under way.
    sent: Option<(u32, usize)>,
    /// First and last of each run of acknowledged lines.
    pub acknowledged: Vec<(u32, u32)>,
    /// First and last of the lines of each request whose answer was lost.
    pub unanswered: Vec<(u32, u32)>,
    pub failures: u32,
    pub not_before_ms: u32,
    pub dropped: u32,
}

impl Buffer {
    pub fn next(&self) -> u32 {
        self.next
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a line that `write` appends, with its number; drops it when there is no room.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>, u32)) {
        if self.lines.len() >= MAX_BYTES {
            self.dropped += 1;
            return;
        }
        if self.lines.is_empty() {
            self.first = self.next;
        } else {
            self.lines.push(b',');
        }
        write(&mut self.lines, self.next);
        self.next += 1;
    }

    /// Notes that all lines are being sent.
    pub fn sending(&mut self) {
        self.sent = Some((self.next, self.lines.len()));
    }

    /// An answer to what was sent was lost: the server may have taken the lines.
    pub fn unanswered(&mut self) {
        let Some((end, _)) = self.sent.filter(|(end, _)| *end > self.first) else { return };
        match self.unanswered.last_mut() {
            // The same lines again, with newer ones.
            Some((first, last)) if *first == self.first => *last = end - 1,
            _ => self.unanswered.push((self.first, end - 1)),
        }
    }

    /// The server took what was sent; says how many lines that were.
    pub fn accepted(&mut self) -> u32 {
        let Some((end, bytes)) = self.sent.take() else { return 0 };
        if end == self.first {
            return 0;
        }
        let count = end - self.first;
        match self.acknowledged.last_mut() {
            Some((_, last)) if *last + 1 == self.first => *last = end - 1,
            _ => self.acknowledged.push((self.first, end - 1)),
        }
        self.first = end;
        if bytes >= self.lines.len() {
            self.lines.clear();
            // Agents that had to keep many lines once give the room back.
            self.lines.shrink_to(4096);
        } else {
            self.lines.drain(..=bytes);
        }
        self.failures = 0;
        self.not_before_ms = 0;
        count
    }

    /// The server did not take it; the next try is after a pause that grows.
    pub fn refused(&mut self, now_ms: u32, period_ms: u32) {
        self.sent = None;
        self.failures += 1;
        let pause = period_ms.saturating_mul(self.failures.saturating_mul(self.failures)).min(3_600_000);
        self.not_before_ms = now_ms.saturating_add(pause);
    }
}

/// Lines of one stream over all agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineCount {
    /// Written by agents.
    pub made: u64,
    /// Taken by the server.
    pub acknowledged: u64,
    /// Not kept by the agent, because the server had not taken earlier ones.
    pub dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(buffer: &mut Buffer, count: u32) {
        for _ in 0..count {
            buffer.push(|out, number| out.extend_from_slice(number.to_string().as_bytes()));
        }
    }

    #[test]
    fn what_was_refused_comes_again_with_newer_lines() {
        let mut buffer = Buffer::default();
        push(&mut buffer, 2);
        buffer.sending();
        buffer.refused(1000, 10_000);
        assert_eq!(buffer.not_before_ms, 11_000);
        push(&mut buffer, 1);
        assert_eq!(buffer.lines, b"0,1,2");
        buffer.sending();
        push(&mut buffer, 1);
        assert_eq!(buffer.accepted(), 3);
        assert_eq!((buffer.lines.as_slice(), buffer.acknowledged.as_slice()), (&b"3"[..], &[(0, 2)][..]));
        buffer.sending();
        assert_eq!(buffer.accepted(), 1);
        assert_eq!(buffer.acknowledged, [(0, 3)]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn lines_whose_answer_was_lost_are_known() {
        let mut buffer = Buffer::default();
        buffer.unanswered();
        push(&mut buffer, 2);
        for count in [1, 0] {
            buffer.sending();
            buffer.unanswered();
            buffer.refused(0, 1);
            push(&mut buffer, count);
        }
        buffer.sending();
        buffer.accepted();
        push(&mut buffer, 1);
        buffer.sending();
        buffer.unanswered();
        assert_eq!(buffer.unanswered, [(0, 2), (3, 3)]);
    }
}
