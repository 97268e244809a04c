use std::time::Duration;

use super::section::section;

section! {
    /// Operators' sessions.
    "session" Session {
        /// A session ends when it has not been used for so long.
        duration: Duration = Duration::from_secs(5 * 24 * 3600),
        /// Log-ins a minute, over all users; more are answered 429.
        logins_per_minute: u32 = 10,
    }
}
