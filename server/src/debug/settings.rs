//! The settings in effect.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Map, Value};

use super::DebugApi;
use super::caller::DebugCaller;
use super::refusal::DebugAnswer;

/// `GET config`: each setting by its key, with its value as text. Secrets that are set are `********`.
pub(super) async fn settings(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let settings = api.config.shown().into_iter().map(|(key, value)| (key.dotted(), Value::from(value)));
    Ok(HttpResponse::Ok().json(settings.collect::<Map<_, _>>()))
}
