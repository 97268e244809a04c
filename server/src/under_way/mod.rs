//! What is under way in this process: requests, periodic tasks, and what each of them waits for since when; how long was waited
//! for what since the start; and a record of all that for some seconds (`trace`).
//!
//! Every request of an agent passes here, so beginning and ending one costs some tens of nanoseconds: it takes a slot in the
//! part of the list that its thread uses, behind a lock that only readers contend for. A thread remembers whose work it does
//! at this moment, so that waits and log lines find their request. Nothing here depends on other parts of the server; there is
//! one list for a process.

mod slots;
mod trace;
mod waits;

pub use slots::{Ongoing, WorkInProgress, WorkKind, WorkNow, new_request_id, snapshot};
pub use trace::{TraceSpan, start_trace};
pub use waits::{Wait, WaitFigures, WaitsFor, wait_figures, waiting_first, waiting_for};

#[cfg(test)]
mod tests;
