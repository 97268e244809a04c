use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds something, and fails the test when that takes longer than `within`.
pub async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_ok(within, async || look().await.ok_or("no"))
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {within:?}"))
}

/// Tries again and again until it works or `within` has passed; then the last failure is returned.
pub async fn eventually_ok<T, E>(within: Duration, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + within;
    loop {
        match attempt().await {
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
            found => return found,
        }
    }
}
