use super::section::section;

section! {
    /// What the server says of itself, on stderr.
    "logging" Logging {
        /// Say more.
        debug: bool = false,
        /// Write JSON instead of text.
        json: bool = false,
    }
}
