use std::time::Duration;

use super::section::section;

section! {
    /// Sessions of operators.
    "session" Session {
        /// Time without use after which a session ends.
        duration: Duration = Duration::from_secs(5 * 24 * 3600),
        /// Maximum attempts to log in per minute from one address, and to one account from addresses unknown to it; further ones get 429. 0 counts as 1.
        logins_per_minute: u32 = 10,
    }
}
