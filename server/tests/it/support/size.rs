use std::sync::LazyLock;

/// Whether tests run with the counts the documents promise, as `make soak` does, or with few of everything.
static IS_WHOLE: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("MUSTER_TEST_SIZE").is_some_and(|size| size == "whole"));

/// The count of something: `few` in `make test`, `whole` in `make soak`.
pub fn count<T>(few: T, whole: T) -> T {
    if *IS_WHOLE { whole } else { few }
}
