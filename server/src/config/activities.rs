use std::time::Duration;

use super::section::section;

section! {
    /// The record of what operators do.
    "activities" Activities {
        /// Time after which an activity is removed; 0 keeps all of them.
        retention: Duration = Duration::from_secs(2 * 365 * 24 * 3600),
    }
}
