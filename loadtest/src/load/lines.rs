//! Log lines, each with an identity that survives the server untouched.

use std::io::Write as _;

use super::{given::Scheduled, template::Names};
use agent_compat::agent::calendar_time;

/// Prefix of every identity, which is `loadtest:RUN:AGENT:STREAM:SEQUENCE`.
pub(super) const TAG: &str = "loadtest:";

/// The two streams of lines of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Result lines.
    Results,
    /// Status lines.
    Statuses,
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Results, Self::Statuses];

    pub(super) fn letter(self) -> char {
        match self {
            Self::Results => 'r',
            Self::Statuses => 's',
        }
    }

    pub(super) fn of(letter: &str) -> Option<Self> {
        match letter {
            "r" => Some(Self::Results),
            "s" => Some(Self::Statuses),
            _ => None,
        }
    }
}

/// The identity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub run: u32,
    pub agent: u32,
    pub stream: Stream,
    pub sequence: u32,
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{TAG}{:08x}:{}:{}:{}", self.run, self.agent, self.stream.letter(), self.sequence)
    }
}

impl Tag {
    /// Reads the identity at the start of a text that goes on behind it.
    pub fn read(text: &[u8]) -> Option<Self> {
        let rest = text.strip_prefix(TAG.as_bytes())?;
        let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b':').unwrap_or(rest.len());
        let mut parts = std::str::from_utf8(&rest[..end]).ok()?.split(':');
        let tag = Self {
            run: u32::from_str_radix(parts.next()?, 16).ok()?,
            agent: parts.next()?.parse().ok()?,
            stream: Stream::of(parts.next()?)?,
            sequence: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(tag)
    }
}

/// The host and the moment of some lines.
pub(super) struct Moment<'a> {
    pub names: &'a Names,
    pub now_s: u64,
    /// Value of `calendarTime`, computed once per second.
    pub calendar: &'a str,
    pub has_decorators: bool,
    /// Lines are made about so long.
    pub line_bytes: usize,
}

const PADDING: &[u8; 256] = &[b'x'; 256];

/// A line of a scheduled query: a row that was added, or a snapshot of one row.
pub(super) fn result(out: &mut Vec<u8>, query: &Scheduled, counter: u64, tag: Tag, moment: &Moment<'_>) {
    let start = out.len();
    // Writing to memory has no way to fail, here and below.
    if query.snapshot {
        let _ = write!(out, r#"{{"snapshot":[{{"load_tag":"{tag}","value":"{counter}","padding":""#);
        pad(out, start, moment.line_bytes, 330);
        out.extend_from_slice(br#""}],"action":"snapshot","#);
    } else {
        out.push(b'{');
    }
    out.extend_from_slice(br#""name":"#);
    out.extend_from_slice(&query.name);
    let counter_member = if query.snapshot { 0 } else { counter };
    let _ = write!(
        out,
        r#","hostIdentifier":"{}","calendarTime":"{}","unixTime":{},"epoch":0,"counter":{counter_member},"numerics":false"#,
        moment.names.uuid, moment.calendar, moment.now_s
    );
    decorations(out, moment);
    if !query.snapshot {
        let _ = write!(out, r#","columns":{{"load_tag":"{tag}","padding":""#);
        pad(out, start, moment.line_bytes, 40);
        let _ = write!(out, r#"","value":"{counter}"}},"action":"added""#);
    }
    out.push(b'}');
}

/// A line of the agent's own log.
pub(super) fn status(out: &mut Vec<u8>, tag: Tag, version: &str, moment: &Moment<'_>) {
    let _ = write!(
        out,
        r#"{{"hostIdentifier":"{}","calendarTime":"{}","unixTime":{},"severity":0,"filename":"scheduler.cpp","line":109,"message":"Executing scheduled query {tag}","version":"{version}""#,
        moment.names.uuid, moment.calendar, moment.now_s
    );
    decorations(out, moment);
    out.push(b'}');
}

fn decorations(out: &mut Vec<u8>, moment: &Moment<'_>) {
    if moment.has_decorators {
        let names = moment.names;
        let _ = write!(out, r#","decorations":{{"host_uuid":"{}","hostname":"{}"}}"#, names.uuid, names.hostname);
    }
}

/// Fills up to the wished length, less what is still to come.
fn pad(out: &mut Vec<u8>, start: usize, line_bytes: usize, to_come: usize) {
    let mut missing = line_bytes.saturating_sub(out.len() - start + to_come);
    while missing > 0 {
        let piece = missing.min(PADDING.len());
        out.extend_from_slice(&PADDING[..piece]);
        missing -= piece;
    }
}

/// The calendar time of the latest second asked for.
#[derive(Default)]
pub(super) struct Calendar {
    second: u64,
    text: String,
}

impl Calendar {
    pub fn text(&mut self, second: u64) -> &str {
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text = calendar_time(second);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_were_written() {
        for stream in Stream::ALL {
            let tag = Tag { run: 0xabc, agent: 100_000, stream, sequence: u32::MAX };
            assert_eq!(Tag::read(format!("{tag}\",\"x\"").as_bytes()), Some(tag));
            assert_eq!(Tag::read(tag.to_string().as_bytes()), Some(tag));
        }
        for bad in ["loadtest:", "loadtest:1:2:x:4", "loadtest:1:2:r:", "loadtest:1:2:r:4:5", "loadtest:zz:2:r:4"] {
            assert_eq!(Tag::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
