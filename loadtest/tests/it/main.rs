//! The programs of this package, run as a user runs them.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod ceiling;
