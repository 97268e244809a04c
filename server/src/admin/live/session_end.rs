//! Answers that go on for long end with the session that asked for them.

use std::io;
use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use muster_api::rest::LiveStreamEnd;
use tokio::time::sleep;

use crate::fleet::access::Principal;
use crate::fleet::{Error, Fleet, Result};

/// How often the session is looked at, so that no answer outlives it by more than 10 s.
const LOOK_AGAIN: Duration = Duration::from_secs(8);

/// Waits until a session has ended, or its user may not see the live query any more, and gives the reason. It also returns
/// when neither can be found out.
pub(in crate::admin) async fn session_end(fleet: Fleet, by: Principal, live_query: Option<i64>) -> Error {
    loop {
        sleep(LOOK_AGAIN).await;
        if let Err(error) = look(&fleet, &by, live_query).await {
            return error;
        }
    }
}

async fn look(fleet: &Fleet, by: &Principal, live_query: Option<i64>) -> Result<()> {
    let by = fleet.access.again(by).await?;
    if let Some(id) = live_query {
        fleet.live.job(&by, id).await?;
    }
    Ok(())
}

/// The words for why an answer has ended early.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::Unauthenticated => "the session has ended; log in again".to_owned(),
        error => error.to_string(),
    }
}

/// The same lines until `end` gives a reason, which is then the last line: a [`LiveStreamEnd`].
pub(super) fn lines_until(
    end: impl Future<Output = Error>,
    lines: impl Stream<Item = io::Result<Bytes>>,
) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some((Box::pin(end), Box::pin(lines))), |going| async {
        let (mut end, mut lines) = going?;
        tokio::select! {
            biased;
            error = &mut end => Some((last_line(&error), None)),
            line = lines.next() => line.map(|line| (line, Some((end, lines)))),
        }
    })
}

fn last_line(error: &Error) -> io::Result<Bytes> {
    let mut line = serde_json::to_vec(&LiveStreamEnd { error: reason(error) })?;
    line.push(b'\n');
    Ok(line.into())
}
