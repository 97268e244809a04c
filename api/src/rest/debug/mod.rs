//! What operators ask of a server in trouble (`/debug`). A client may meet an older server: what that does not tell is empty.

mod activity;
mod logs;

pub use activity::{
    ConnectionsInUse, RequestUnderWay, RequestsUnderWay, TaskNow, ThreadPool, TraceEvent, TraceFile, WaitTotals, Waits,
};
pub use logs::{ChangeLogLevel, LatestLogs, LogLevelNow, LoggedCause, LoggedErrors, LoggedLine};
