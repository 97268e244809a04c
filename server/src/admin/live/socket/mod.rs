//! Watching a campaign through a WebSocket, as Fleet's clients do: they say who they are, pick a campaign, and are told
//! its totals, its status and every answer. What was answered before they came they get too, each host once.

mod message;
mod progress;
mod sock_js;
mod transport;
mod watch;

use std::time::Duration;

use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};

use self::message::ClientMessage;
use self::transport::{Framing, Socket};
use self::watch::SocketWatch;
use super::session_end::{reason, session_end};
use crate::admin::AdminApi;
use crate::fleet::Error;
use crate::fleet::access::Principal;
use crate::fleet::live::Follower;

/// A client must say who it is within this time, and then which campaign it wants.
const NEXT_MESSAGE_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn plain(
    api: Data<AdminApi>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, actix_web::Error> {
    open(api, &request, body, Framing::Plain)
}

pub(super) async fn sock_js(
    api: Data<AdminApi>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, actix_web::Error> {
    open(api, &request, body, Framing::SockJs)
}

/// What SockJS clients ask for first.
pub(super) async fn sock_js_info() -> Json<sock_js::Info> {
    Json(sock_js::Info::new())
}

fn open(
    api: Data<AdminApi>,
    request: &HttpRequest,
    body: Payload,
    framing: Framing,
) -> Result<HttpResponse, actix_web::Error> {
    let (response, session, incoming) = actix_ws::handle(request, body)?;
    actix_web::rt::spawn(talk(api, Socket::new(session, incoming, framing)));
    Ok(response)
}

/// Why a conversation is over.
#[derive(Debug, PartialEq)]
enum End {
    Left,
    Refused(String),
    Stopping,
}

impl From<actix_ws::Closed> for End {
    fn from(_: actix_ws::Closed) -> Self {
        Self::Left
    }
}

async fn talk(api: Data<AdminApi>, mut socket: Socket) {
    let end = tokio::select! {
        end = converse(&api, &mut socket) => end,
        () = api.lifecycle.stopped() => End::Stopping,
    };
    if let End::Refused(reason) = &end {
        // The client may have gone without waiting for it.
        let _ = socket.send(message::error(reason)).await;
    }
    socket.close(end == End::Stopping).await;
}

async fn converse(api: &AdminApi, socket: &mut Socket) -> End {
    let watched = async {
        socket.open().await?;
        let principal = authenticate(api, socket).await?;
        let follower = select(api, socket, &principal).await?;
        let ended = session_end(api.fleet.clone(), principal, Some(follower.job().id));
        let watch = SocketWatch::new(api, socket, follower).await?;
        tokio::select! {
            end = watch.run() => end,
            error = ended => Err(End::Refused(reason(&error))),
        }
    };
    match watched.await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

async fn authenticate(api: &AdminApi, socket: &mut Socket) -> Result<Principal, End> {
    let unauthorized = || End::Refused("unauthorized".to_owned());
    let received = next_message(socket).await?.filter(|message| message.kind == "auth");
    let token = received.as_ref().and_then(|message| message.data["token"].as_str()).ok_or_else(unauthorized)?;
    api.fleet.access.authenticate(token).await.map_err(|error| match error {
        Error::Unauthenticated => unauthorized(),
        other => refused(other),
    })
}

async fn select(api: &AdminApi, socket: &mut Socket, principal: &Principal) -> Result<Follower, End> {
    let refuse = |reason: &str| End::Refused(reason.to_owned());
    let received = next_message(socket).await?.ok_or_else(|| refuse("error reading select_campaign"))?;
    if received.kind != "select_campaign" {
        return Err(refuse("expected select_campaign"));
    }
    let id = received.data["campaign_id"].as_i64().ok_or_else(|| refuse("error reading select_campaign"))?;
    if id == 0 {
        return Err(refuse("0 is not a valid campaign ID"));
    }
    api.fleet.live.follow_own(principal, id).await.map_err(|error| match error {
        Error::NotFound { .. } => End::Refused(format!("cannot find campaign for ID {id}")),
        other => refused(other),
    })
}

/// `None` for what is no message, and when none comes in time.
async fn next_message(socket: &mut Socket) -> Result<Option<ClientMessage>, End> {
    match tokio::time::timeout(NEXT_MESSAGE_WITHIN, socket.receive()).await {
        Ok(None) => Err(End::Left),
        Ok(Some(text)) => Ok(serde_json::from_str(&text).ok()),
        Err(_) => Ok(None),
    }
}

fn refused(error: Error) -> End {
    if let Error::Internal(cause) = &error {
        tracing::error!(error = cause.as_ref(), "a campaign could not be watched");
    }
    End::Refused(error.to_string())
}
