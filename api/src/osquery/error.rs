use std::fmt;

/// Why a body could not be read: the path and the problem, never a byte of the body itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadError {
    /// Counted from the start of the body.
    pub offset: usize,
    pub problem: BodyProblem,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyProblem {
    /// The body is empty or was cut off.
    EndOfBody,
    /// The body is JSON, but not an object.
    NotAnObject,
    /// Objects and arrays nest deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// Something follows the end of the object.
    Trailing,
    /// Not JSON: this was expected instead.
    Expected(&'static str),
    BadNumber,
    BadEscape,
    /// A member the reader cannot do without has the wrong type.
    WrongType {
        member: &'static str,
        expected: &'static str,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.offset;
        match self.problem {
            BodyProblem::EndOfBody => write!(f, "body ends too early, at byte {at}"),
            BodyProblem::NotAnObject => write!(f, "body is not a JSON object, at byte {at}"),
            BodyProblem::TooDeep => write!(f, "nested deeper than {} levels at byte {at}", super::MAX_DEPTH),
            BodyProblem::Trailing => write!(f, "unexpected data after the end of the object, at byte {at}"),
            BodyProblem::Expected(what) => write!(f, "expected {what} at byte {at}"),
            BodyProblem::BadNumber => write!(f, "malformed number at byte {at}"),
            BodyProblem::BadEscape => write!(f, "malformed escape at byte {at}"),
            BodyProblem::WrongType { member, expected } => {
                write!(f, "member {member} is not {expected}, at byte {at}")
            }
        }
    }
}

impl std::error::Error for ReadError {}
