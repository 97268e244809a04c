use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use futures_util::stream;
use serde::Serialize;

/// Bytes of a piece of a long answer.
const PIECE: usize = 64 * 1024;

pub(super) const JSON: &str = "application/json; charset=utf-8";

/// JSON as Fleet writes it: two spaces, a newline at the end.
pub(super) fn text(body: &impl Serialize) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(body)?;
    text.push('\n');
    Ok(text)
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match text(body) {
        Ok(text) => HttpResponse::build(status).content_type(JSON).body(text),
        Err(error) => {
            tracing::error!(%error, "cannot serialize a response");
            HttpResponse::InternalServerError().content_type(JSON).body("{}\n")
        }
    }
}

pub(super) fn ok(body: &impl Serialize) -> HttpResponse {
    json(StatusCode::OK, body)
}

/// Success with an empty object.
pub(super) fn done() -> HttpResponse {
    ok(&serde_json::json!({}))
}

/// Success with JSON that is sent in pieces. `held` is dropped when the client has taken everything, or has gone.
pub(super) fn in_pieces(text: String, held: impl Sized + 'static) -> HttpResponse {
    let length = text.len() as u64;
    let pieces = stream::unfold((Bytes::from(text), held), |(mut rest, held)| async move {
        let piece = rest.split_to(rest.len().min(PIECE));
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (rest, held)))
    });
    HttpResponse::Ok().content_type(JSON).body(SizedStream::new(length, pieces))
}
