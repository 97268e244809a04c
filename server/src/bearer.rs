//! The token that a request shows.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

/// The bearer token in the header `Authorization`, if there is one.
pub(crate) fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
