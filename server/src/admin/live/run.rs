//! Asking hosts saved queries and answering when they have.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::web::{Bytes, Data};
use futures_util::stream;
use muster_api::rest::LiveRun;

use crate::admin::AdminApi;
use crate::admin::auth::Caller;
use crate::admin::body::JsonBody;
use crate::admin::error::{AdminAnswer, Failed};
use crate::fleet::Error;

/// Pieces the answer is sent in.
const PIECE: usize = 64 * 1024;

pub(super) async fn run(api: Data<AdminApi>, caller: Caller, request: JsonBody<LiveRun>) -> AdminAnswer {
    wait(&api, &caller, &request).await
}

pub(super) async fn wait(api: &AdminApi, caller: &Caller, request: &LiveRun) -> AdminAnswer {
    let (done, room) = tokio::select! {
        outcome = api.fleet.live.run(&caller.0, request) => outcome?,
        () = api.lifecycle.stopped() => return Err(Failed(Error::Unavailable("the server stops".to_owned()))),
    };
    let mut text = serde_json::to_string_pretty(&done).map_err(|error| Error::Internal(Box::new(error)))?;
    text.push('\n');
    drop(done);
    let length = text.len() as u64;
    // The room is given back when the client has taken everything.
    let pieces = stream::unfold((Bytes::from(text), room), |(mut rest, room)| async move {
        let piece = rest.split_to(rest.len().min(PIECE));
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (rest, room)))
    });
    let body = SizedStream::new(length, pieces);
    Ok(HttpResponse::Ok().content_type("application/json; charset=utf-8").body(body))
}
