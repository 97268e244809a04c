use crate::harness::{ENROLL_SECRET, RecordedRequest, captured_log};
use anyhow::Result;

use crate::{one, server_knowing};

/// One recorded request of every kind, and where else it may be sent.
fn moved(change: impl Fn(&str) -> String) -> Result<Vec<RecordedRequest>> {
    let requests = [1, 3, 4, 7, 12, 17, 18].into_iter().map(one);
    requests
        .map(|request| {
            let request = request?;
            Ok(RecordedRequest { path: change(&request.path), ..request })
        })
        .collect()
}

async fn all_succeed(requests: &[RecordedRequest]) -> Result<()> {
    let server = server_knowing(requests).await?;
    for request in requests {
        let sent = server.send(request).await?;
        assert!(sent.verdict.is_success(), "{}: {}", request.path, sent.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_may_use_either_base() -> Result<()> {
    all_succeed(&moved(str::to_owned)?).await?;
    let other = moved(|path| path.replace("/api/v1/osquery", "/api/osquery"))?;
    assert!(other.iter().all(|request| request.path.starts_with("/api/osquery/")));
    all_succeed(&other).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_address_changes_nothing_and_is_not_logged() -> Result<()> {
    all_succeed(&moved(|path| format!("{path}?enroll_secret={ENROLL_SECRET}"))?).await?;
    let lost = RecordedRequest { path: format!("/api/v1/osquery/nowhere?enroll_secret={ENROLL_SECRET}"), ..one(3)? };
    let server = server_knowing([]).await?;
    assert_eq!(server.send(&lost).await?.response.status, 404);
    let log = captured_log();
    assert!(log.contains("listening"), "the log is being captured");
    assert!(!log.contains(ENROLL_SECRET), "the secret is in the log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_exist_is_a_failure_to_agents() -> Result<()> {
    let server = server_knowing([]).await?;
    for path in ["/api/v1/osquery", "/api/v1/osquery/", "/api/v1/osquery/configs", "/api/osquery/log/"] {
        let sent = server.send(&RecordedRequest { path: path.to_owned(), ..one(3)? }).await?;
        assert!(!sent.verdict.is_success(), "{path}: {}", sent.text());
        assert!(!sent.verdict.is_node_invalid(), "{path}: {}", sent.text());
    }
    Ok(())
}
