//! Endpoints that are not supported yet.

use crate::harness::{golden, recording, recordings};
use anyhow::Result;

use crate::server_knowing;

/// Paths agents use and the server does not serve. This list may only shrink: a path that is served must be taken out,
/// and nothing may be put in.
pub const NOT_SERVED_YET: [&str; 2] = ["/api/v1/osquery/carve/begin", "/api/v1/osquery/carve/block"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_yet_is_refused() -> Result<()> {
    let mut requests = golden(1..=70)?;
    for name in recordings(37..=69)? {
        requests.extend(recording(&name)?.into_iter().map(|(_, request)| request));
    }
    requests.retain(|request| NOT_SERVED_YET.contains(&request.path.as_str()));
    let server = server_knowing(&requests).await?;
    for path in NOT_SERVED_YET {
        assert!(requests.iter().any(|request| request.path == path), "nobody asks for {path}");
    }
    for request in &requests {
        let sent = server.send(request).await?;
        let status = sent.response.status;
        assert!(matches!(status, 404 | 501), "{} is served, with {status}: take it out of the list", request.path);
        assert!(!sent.verdict.is_success(), "{}", sent.text());
        assert!(sent.json().get("session_id").is_none(), "{}", sent.text());
    }
    Ok(())
}
