use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use serde::Serialize;

use super::stream::{PIECE, StreamPace, paced};

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

/// An empty object: success without a word.
#[derive(Debug, Serialize)]
pub(super) struct Done {}

/// Success with an empty object.
pub(super) fn done() -> HttpResponse {
    ok(&Done {})
}

/// Sends answers that are written.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    pub pace: StreamPace,
}

impl Answers {
    /// Success with JSON, which is sent in pieces if it is long. `held` is dropped when the client has taken everything, has
    /// gone or is too slow.
    pub(super) fn whole(&self, text: String, held: impl Sized + 'static) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        response.content_type(JSON);
        self.send(response, text.into(), held)
    }

    /// An answer with this head and text, which is sent as [`Answers::whole`] sends it.
    pub(super) fn send(
        &self,
        mut response: HttpResponseBuilder,
        text: Bytes,
        held: impl Sized + 'static,
    ) -> HttpResponse {
        if text.len() <= PIECE {
            return response.body(text);
        }
        let length = text.len() as u64;
        let pieces = stream::unfold((text, held), |(mut rest, held)| async move {
            let piece = rest.split_to(rest.len().min(PIECE));
            (!piece.is_empty()).then_some((Ok(piece), (rest, held)))
        });
        response.body(SizedStream::new(length, paced(pieces, self.pace.clone())))
    }
}
