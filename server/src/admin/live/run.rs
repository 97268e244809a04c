//! Asking hosts saved queries and answering when they have.

use actix_web::web::Data;
use muster_api::rest::LiveRun;

use super::session_end::session_end;
use crate::admin::AdminApi;
use crate::admin::answer;
use crate::admin::auth::Caller;
use crate::admin::body::JsonBody;
use crate::admin::error::{AdminAnswer, Failed};
use crate::fleet::Error;

pub(super) async fn run(api: Data<AdminApi>, caller: Caller, request: JsonBody<LiveRun>) -> AdminAnswer {
    wait(&api, &caller, &request).await
}

pub(super) async fn wait(api: &AdminApi, caller: &Caller, request: &LiveRun) -> AdminAnswer {
    let (done, room) = tokio::select! {
        outcome = api.fleet.live.run(&caller.0, request) => outcome?,
        error = session_end(api.fleet.clone(), caller.0.clone(), None) => return Err(Failed(error)),
        () = api.lifecycle.stopped() => return Err(Failed(Error::Unavailable("the server stops".to_owned()))),
    };
    let text = answer::text(&done).map_err(|error| Error::Internal(Box::new(error)))?;
    drop(done);
    // The room is given back when the client has taken everything.
    Ok(api.answers.whole(text, room))
}
