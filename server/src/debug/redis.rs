//! Redis, as it sees itself.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Data;

use super::DebugApi;
use super::caller::DebugCaller;
use super::refusal::DebugAnswer;

/// What each server tells of itself.
pub(super) async fn info(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let text = api.fleet.diagnostics.redis_info().await?;
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(text))
}

/// Slow commands.
pub(super) async fn slow_log(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    Ok(HttpResponse::Ok().json(api.fleet.diagnostics.redis_slow_log().await?))
}

/// Keys by kind, and the streams of open live queries.
pub(super) async fn streams(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    Ok(HttpResponse::Ok().json(api.fleet.diagnostics.redis_keys().await?))
}
