use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

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
