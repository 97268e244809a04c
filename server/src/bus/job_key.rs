use std::fmt;

use uuid::Uuid;

/// Names a job on the bus. Ids come again when an older copy of the database is restored; `made` never does, so whatever
/// the bus still holds of an earlier job with the same id is not taken for this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobKey {
    pub id: i64,
    /// A UUIDv7. `None` for a job that a node of an older version has made: its id alone names it.
    pub made: Option<Uuid>,
}

impl JobKey {
    pub fn new(id: i64, made: Option<Uuid>) -> Self {
        Self { id, made }
    }

    /// When the job was made, in microseconds since 1970; 0 when nobody knows.
    pub(super) fn made_at_us(self) -> u64 {
        let Some(time) = self.made.and_then(|made| made.get_timestamp()) else { return 0 };
        let (seconds, nanos) = time.to_unix();
        seconds * 1_000_000 + u64::from(nanos / 1000)
    }

    /// The text of `made`; empty for a job without.
    pub(super) fn made_text(self) -> String {
        self.made.map(|made| made.simple().to_string()).unwrap_or_default()
    }
}

/// A name that no other job has had: for files.
impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.made {
            Some(made) => write!(f, "{}-{}", self.id, made.simple()),
            None => write!(f, "{}", self.id),
        }
    }
}
