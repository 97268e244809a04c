//! Answers that take long to make. They begin at once and a filler follows every second, so that a client that has hung up is
//! noticed and the work ends, and no proxy takes the silence for a failure.

use std::future::Future;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

const FILL_EVERY: Duration = Duration::from_secs(1);

/// The part of an answer that does not wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct LongAnswer {
    pub content_type: &'static str,
    /// The name under which browsers keep it, for what they cannot show.
    pub file_name: Option<&'static str>,
    /// What it begins with.
    pub begin: &'static [u8],
    /// May stand any number of times after that.
    pub filler: &'static [u8],
}

impl LongAnswer {
    /// The answer with what follows. It is broken off when that fails, because the status was sent long before.
    pub fn with(self, rest: impl Future<Output = anyhow::Result<Vec<u8>>> + 'static) -> HttpResponse {
        let begin = stream::iter([Ok(Bytes::from_static(self.begin))]);
        let mut ticks = tokio::time::interval(FILL_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let rest = stream::unfold(Some((Box::pin(rest), ticks)), move |waiting| async move {
            let (mut rest, mut ticks) = waiting?;
            tokio::select! {
                biased;
                rest = &mut rest => Some((rest.map(Bytes::from).map_err(broken_off), None)),
                _ = ticks.tick() => Some((Ok(Bytes::from_static(self.filler)), Some((rest, ticks)))),
            }
        });
        let mut answer = HttpResponse::Ok();
        answer.insert_header((CONTENT_TYPE, self.content_type));
        if let Some(name) = self.file_name {
            answer.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
        }
        answer.streaming(begin.chain(rest))
    }
}

fn broken_off(error: anyhow::Error) -> std::io::Error {
    tracing::error!(error = format!("{error:#}"), "an answer to a debug request was broken off");
    std::io::Error::other(error)
}
