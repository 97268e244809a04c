//! Parameters of requests.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Query;

use super::refusal::DebugRefusal;

/// The parameter `seconds`: a default and the most it may be.
///
/// # Errors
/// [`DebugRefusal::BadParameter`] for what is not a whole number from 1 on.
pub(super) fn seconds(request: &HttpRequest, (default, most): (u64, u64)) -> Result<Duration, DebugRefusal> {
    let Some(text) = param(request, "seconds") else { return Ok(Duration::from_secs(default)) };
    let seconds = text.parse().ok().filter(|seconds| (1..=most).contains(seconds));
    let wrong = || DebugRefusal::BadParameter(format!("seconds: expects a whole number from 1 to {most}"));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// A parameter by its name.
pub(super) fn param(request: &HttpRequest, name: &str) -> Option<String> {
    let params = Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?.into_inner();
    params.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}
