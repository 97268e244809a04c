//! Texts that are read, written and sent part by part.

use std::io;

use actix_web::web::Bytes;
use futures_util::{Stream, stream};

use super::readers::{ListGuard, Work};
use crate::fleet::Result;
use crate::lifecycle::Lifecycle;

/// A text whose parts are read when they are asked for.
pub(in crate::admin) trait TextParts: Send + 'static {
    /// Whether the part before was the last one.
    fn is_finished(&self) -> bool;

    /// The next part. It may be empty, which says nothing about those behind.
    ///
    /// # Errors
    /// When the next part cannot be read.
    async fn next(&mut self) -> Result<Bytes>;
}

/// A text whose first part is here. The others are read when the one before was taken.
pub(super) fn following(
    first: Bytes,
    text: impl TextParts,
    guard: ListGuard,
    lifecycle: Lifecycle,
) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((Some(first), Some((guard, text))), move |(first, rest)| {
        let lifecycle = lifecycle.clone();
        async move {
            if let Some(first) = first {
                return Ok(Some((first, (None, rest))));
            }
            let Some((guard, mut text)) = rest.filter(|(_, text)| !text.is_finished()) else { return Ok(None) };
            let work = move || async move {
                let part = text.next().await?;
                Ok((part, text))
            };
            tokio::select! {
                written = guard.work(Work::Part, work) => {
                    let (guard, (part, text)) = written.map_err(io::Error::other)?;
                    Ok(Some((part, (None, Some((guard, text))))))
                }
                // Not a good end: whoever reads must not take what was sent for everything.
                () = lifecycle.stopped() => Err(io::Error::other("the server stops")),
            }
        }
    })
}
