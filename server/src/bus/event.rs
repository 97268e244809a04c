use crate::clock::Moment;

/// Something that happened to a job, for nodes that hold a view of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEvent {
    /// Grows by one with each event of a job, from 1 on. A job that is made anew begins far beyond.
    pub position: u64,
    pub change: JobChange,
}

/// Notes are the caller's own; the bus does not look into them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobChange {
    /// A host was asked, alone or together with other questions.
    Sent { host: i64, at: Moment, is_alone: bool },
    /// A host is to be asked again.
    Again { host: i64 },
    /// A host's final state.
    Settled { host: i64, note: Vec<u8> },
    /// The job has ended.
    Closed { note: Vec<u8> },
    /// The job was made anew, and begins as this note says: what is missing in between has not happened.
    Restored { note: Vec<u8> },
}

impl JobChange {
    /// As it is passed on: a letter, numbers in text, and the note.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (mut bytes, note) = match self {
            Self::Sent { host, at, is_alone } => {
                (format!("s{host} {} {}", at.0, u8::from(*is_alone)).into_bytes(), &[][..])
            }
            Self::Again { host } => (format!("a{host}").into_bytes(), &[][..]),
            Self::Settled { host, note } => (format!("d{host} ").into_bytes(), &note[..]),
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
            b'a' => Some(Self::Again { host: text()?.parse().ok()? }),
            b'd' => {
                let space = rest.iter().position(|byte| *byte == b' ')?;
                let host = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
                Some(Self::Settled { host, note: rest[space + 1..].to_vec() })
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
            JobChange::Again { host: 7 },
            JobChange::Settled { host: 7, note: b"a \xff\n".to_vec() },
            JobChange::Settled { host: 7, note: Vec::new() },
            JobChange::Closed { note: b"why".to_vec() },
            JobChange::Restored { note: b"\x00 states".to_vec() },
        ] {
            assert_eq!(JobChange::from_bytes(&change.to_bytes()), Some(change));
        }
        for bytes in [&b""[..], b"x1", b"s1", b"d7", b"s1 2 x"] {
            assert_eq!(JobChange::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
