use super::section::section;

section! {
    /// The server's own log on standard error.
    "logging" Logging {
        /// Log debug messages.
        debug: bool = false,
        /// Log as JSON instead of text.
        json: bool = false,
    }
}
