//! The answers of a live query as a stream of lines, from a cursor on.

use std::io;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderName};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, stream};

use super::session_end::{lines_until, session_end};
use crate::admin::AdminApi;
use crate::admin::auth::Caller;
use crate::admin::error::Failed;
use crate::admin::params::Params;
use crate::fleet::live::{Follower, show_line};
use crate::lifecycle::Lifecycle;

/// A follower who is told nothing gets an empty line so often, so that nothing between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Proxies that buffer must not.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One answer per line. With `follow=true` it goes on until the live query is over and everything was sent; a stream
/// that breaks off is taken up again from the last line's cursor. It ends with the session of its reader.
pub(super) async fn results(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let cursor = params.number("cursor")?.unwrap_or(0);
    let is_following = params.switch("follow")?;
    params.finish()?;
    let follower = api.fleet.live.follow(&caller.0, *id, cursor).await.map_err(Failed)?;
    let end = session_end(api.fleet.clone(), caller.0, Some(*id));
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_ACCEL_BUFFERING, "no"))
        .streaming(lines_until(end, lines(follower, is_following, api.lifecycle.clone()))))
}

/// Pieces of whole lines. Each is read when the one before was taken, so what a slow reader costs is one piece.
pub(in crate::admin) fn lines(
    follower: Follower,
    is_following: bool,
    lifecycle: Lifecycle,
) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(follower, move |mut follower| {
        let lifecycle = lifecycle.clone();
        async move {
            let piece = tokio::select! {
                piece = next_piece(&mut follower, is_following) => piece?,
                // Not a good end: whoever reads must not take what was sent for everything.
                () = lifecycle.stopped() => return Err(io::Error::other("the server stops")),
            };
            Ok(piece.map(|piece| (piece, follower)))
        }
    })
}

async fn next_piece(follower: &mut Follower, is_following: bool) -> io::Result<Option<Bytes>> {
    loop {
        let lines = follower.read().await.map_err(io::Error::other)?;
        if !lines.is_empty() {
            return Ok(Some(lines.iter().map(show_line).collect::<Vec<_>>().concat().into()));
        }
        if !is_following {
            return Ok(None);
        }
        match tokio::time::timeout(KEEP_ALIVE, follower.more()).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(_) => return Ok(Some(Bytes::from_static(b"\n"))),
        }
    }
}
