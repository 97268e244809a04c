use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

/// JSON as Fleet writes it: two spaces, a newline at the end.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    match serde_json::to_string_pretty(body) {
        Ok(mut text) => {
            text.push('\n');
            HttpResponse::build(status).content_type("application/json; charset=utf-8").body(text)
        }
        Err(error) => {
            tracing::error!(%error, "cannot serialize a response");
            HttpResponse::InternalServerError().content_type("application/json; charset=utf-8").body("{}\n")
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
