use std::io::Read as _;

use actix_web::http::StatusCode;
use flate2::bufread::MultiGzDecoder;

use super::AgentApi;
use super::answer::Refusal;
use super::body::AgentBody;

/// Inflated bytes that are made between two looks at the budget.
const STEP: usize = 1 << 20;

/// Inflates a gzip body of at most `osquery.max_log_inflated` bytes.
pub(super) async fn inflate(api: &AgentApi, compressed: AgentBody) -> Result<AgentBody, Refusal> {
    let cap = api.caps.log_inflated;
    let mut inflated = AgentBody::default();
    let mut decoder = MultiGzDecoder::new(compressed.bytes.as_slice());
    loop {
        inflated.grow(STEP.min(cap + 1 - inflated.bytes.len()), &api.budget, &api.metrics).await?;
        let step = STEP.min(cap + 1 - inflated.bytes.len());
        let read =
            decoder.by_ref().take(step as u64).read_to_end(&mut inflated.bytes).map_err(|error| {
                Refusal::Error(StatusCode::BAD_REQUEST, format!("the body is not valid gzip: {error}"))
            })?;
        if inflated.bytes.len() > cap {
            api.metrics.limit_hit("max_log_inflated");
            return Err(Refusal::Error(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the inflated body is larger than osquery.max_log_inflated allows ({cap} bytes)"),
            ));
        }
        if read < step {
            return Ok(inflated);
        }
        // Lets other requests on this worker go on.
        tokio::task::yield_now().await;
    }
}
