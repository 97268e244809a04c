use super::LivePace;
use crate::clock::Moment;

/// A position among the events of a job, and which event stood there when it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventPosition {
    /// Grows by one each time, from 1 on; 0 is before the first event. A job that is made anew begins far beyond.
    pub number: u64,
    /// Chosen at random for each event. When another event stands at a position, the bus has lost events since. 0 for
    /// an event of a node of an older version.
    pub tag: u64,
}

/// An event of a job, for nodes that hold a view of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEvent {
    pub position: EventPosition,
    pub change: JobChange,
}

/// Events of a job in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPiece {
    /// Without those that this version cannot read.
    pub events: Vec<JobEvent>,
    /// The position to go on from.
    pub last: EventPosition,
    /// Whether there are no more for now.
    pub is_last: bool,
    /// Whether these events begin with the first of the job. Then the view has to begin anew, with every target
    /// pending: it is the first read, or the bus has lost events that the view already has.
    pub is_from_start: bool,
}

/// What an event says. Notes are the caller's own; the bus does not read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobChange {
    /// A host was claimed and is sent the query, alone or with other queries.
    Sent { host: i64, at: Moment, is_alone: bool },
    /// The claim of a host was given up: the host is pending again.
    Pending { host: i64 },
    /// A host's final state.
    Settled { host: i64, note: Vec<u8> },
    /// The pace was set. Nodes of the version before skip it.
    Paced(LivePace),
    /// The job has ended.
    Closed { note: Vec<u8> },
    /// The job was made anew with the states in this note; events that were lost have not happened.
    Restored { note: Vec<u8> },
}

impl JobChange {
    /// The form on the bus: a letter, numbers in text, and the note. Nodes of the version before and after read it,
    /// too.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (mut bytes, note) = match self {
            Self::Sent { host, at, is_alone } => {
                (format!("s{host} {} {}", at.0, u8::from(*is_alone)).into_bytes(), &[][..])
            }
            Self::Pending { host } => (format!("a{host}").into_bytes(), &[][..]),
            Self::Settled { host, note } => (format!("d{host} ").into_bytes(), &note[..]),
            // Nodes of the version before read the first three numbers: to them the job is paused until canaries have spoken.
            Self::Paced(pace) => {
                let (held, paused) = (u8::from(pace.is_held()), u8::from(pace.is_paused));
                let until = pace.canaries_until.map_or(0, |until| until.0);
                (format!("p{} {held} {} {paused} {until}", pace.rate, pace.changes).into_bytes(), &[][..])
            }
            Self::Closed { note } => (b"c".to_vec(), &note[..]),
            Self::Restored { note } => (b"r".to_vec(), &note[..]),
        };
        bytes.extend_from_slice(note);
        bytes
    }

    /// `None` for bytes that are no change, as a newer version may write them.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let text = || std::str::from_utf8(rest).ok();
        match kind {
            b's' => {
                let mut parts = text()?.split(' ');
                let mut number = || parts.next()?.parse::<i64>().ok();
                Some(Self::Sent { host: number()?, at: Moment(number()?), is_alone: number()? == 1 })
            }
            b'a' => Some(Self::Pending { host: text()?.parse().ok()? }),
            b'd' => {
                let space = rest.iter().position(|byte| *byte == b' ')?;
                let host = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
                Some(Self::Settled { host, note: rest[space + 1..].to_vec() })
            }
            b'p' => {
                let mut parts = text()?.split(' ');
                let rate = parts.next()?.parse().ok()?;
                let is_held = parts.next()? == "1";
                let changes = parts.next()?.parse().ok()?;
                // A node of the version before writes no more.
                let is_paused = parts.next().map_or(is_held, |paused| paused == "1");
                let until = parts.next().and_then(|until| until.parse().ok()).filter(|until| is_held && *until > 0);
                Some(Self::Paced(LivePace { rate, is_paused, canaries_until: until.map(Moment), changes }))
            }
            b'c' => Some(Self::Closed { note: rest.to_vec() }),
            b'r' => Some(Self::Restored { note: rest.to_vec() }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_back() {
        for change in [
            JobChange::Sent { host: 7, at: Moment(1_768_478_400_000_000), is_alone: true },
            JobChange::Sent { host: i64::MAX, at: Moment(0), is_alone: false },
            JobChange::Pending { host: 7 },
            JobChange::Settled { host: 7, note: b"a \xff\n".to_vec() },
            JobChange::Settled { host: 7, note: Vec::new() },
            JobChange::Paced(LivePace { rate: 100_000, is_paused: true, canaries_until: None, changes: 3 }),
            JobChange::Paced(LivePace { rate: 1, is_paused: true, canaries_until: Some(Moment(7)), changes: 3 }),
            JobChange::Paced(LivePace { rate: 0, is_paused: false, canaries_until: Some(Moment(7)), changes: 4 }),
            JobChange::Closed { note: b"why".to_vec() },
            JobChange::Restored { note: b"\x00 states".to_vec() },
        ] {
            assert_eq!(JobChange::from_bytes(&change.to_bytes()), Some(change));
        }
        for bytes in [&b""[..], b"x1", b"p1 0", b"s1", b"d7", b"s1 2 x"] {
            assert_eq!(JobChange::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_pace_of_the_version_before_is_read_and_that_version_takes_a_wait_for_canaries_for_a_pause() {
        let paused = LivePace { rate: 5, is_paused: true, canaries_until: None, changes: 2 };
        assert_eq!(JobChange::from_bytes(b"p5 1 2"), Some(JobChange::Paced(paused)));
        let waiting = LivePace { rate: 5, is_paused: false, canaries_until: Some(Moment(7)), changes: 2 };
        let bytes = JobChange::Paced(waiting).to_bytes();
        assert!(bytes.starts_with(b"p5 1 2 "), "{bytes:?}");
    }
}
