use std::io::Read as _;

use actix_web::http::StatusCode;
use flate2::bufread::MultiGzDecoder;

use super::AgentApi;
use super::answer::Refusal;
use super::body::AgentBody;

/// Bytes inflated between two checks of the budget.
const STEP: usize = 1 << 20;

/// Inflates a gzip body of at most `osquery.max_log_inflated` bytes.
pub(super) async fn inflate(api: &AgentApi, compressed: AgentBody) -> Result<AgentBody, Refusal> {
    let cap = api.caps.log_inflated;
    // One byte over the cap is enough to refuse.
    let longest = cap.bytes + 1;
    let mut inflated = AgentBody::default();
    let mut decoder = MultiGzDecoder::new(compressed.bytes.as_slice());
    loop {
        inflated.grow(STEP.min(longest - inflated.bytes.len()), &api.budget, &api.metrics).await?;
        let step = STEP.min(longest - inflated.bytes.len());
        let read =
            decoder.by_ref().take(step as u64).read_to_end(&mut inflated.bytes).map_err(|error| {
                Refusal::Error(StatusCode::BAD_REQUEST, format!("the body is not valid gzip: {error}"))
            })?;
        if inflated.bytes.len() > cap.bytes {
            api.metrics.limit_hit(cap.key);
            return Err(cap.refusal("the inflated body"));
        }
        if read < step {
            return Ok(inflated);
        }
        // Inflating 128 MiB takes long; other requests of this worker run in between.
        tokio::task::yield_now().await;
    }
}
