use crate::harness::{CompatServer, RecordedRequest, Sent};
use anyhow::{Context as _, Result};

use crate::{assert_lines, one, server_knowing};

/// One recorded request of every kind that shows a key.
fn with_keys() -> Result<Vec<RecordedRequest>> {
    [3, 4, 7, 12, 17, 18].into_iter().map(one).collect()
}

fn assert_key_refused(sent: &Sent, context: &str) {
    assert!(sent.verdict.is_node_invalid(), "{context}: {}", sent.text());
    assert_eq!(sent.response.status, 401, "{context}");
    assert!(sent.json()["error"].is_string(), "{context}: {}", sent.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_everywhere_and_not_repeated() -> Result<()> {
    let server = CompatServer::start().await?;
    for request in with_keys()? {
        let sent = server.send(&request).await?;
        assert_key_refused(&sent, &request.name);
        let key = request.header_key.as_deref().context("no key")?;
        assert!(!sent.text().contains(key), "{}: {}", request.name, sent.text());
        assert!(!sent.response.headers.iter().any(|(_, value)| value.contains(key)), "{}", request.name);
    }
    assert_lines(&server.result_lines()?, &[], "results of strangers");
    assert_lines(&server.status_lines()?, &[], "statuses of strangers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_without_the_header_too() -> Result<()> {
    let server = CompatServer::start().await?;
    for mut request in with_keys()? {
        request.header_key = None;
        assert_key_refused(&server.send(&request).await?, &request.name);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_key_is_refused_everywhere() -> Result<()> {
    let server = CompatServer::start().await?;
    for request in with_keys()?.iter().filter(|request| !request.is_gzip()) {
        let empty = request.with_key("");
        assert!(empty.body.windows(13).any(|window| window == br#""node_key":"""#), "{}", request.name);
        assert_key_refused(&server.send(&empty).await?, &request.name);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_at_all_is_refused_everywhere() -> Result<()> {
    let server = CompatServer::start().await?;
    for request in with_keys()?.iter().filter(|request| !request.is_gzip()) {
        assert_key_refused(&server.send(&without_key(request)?).await?, &request.name);
    }
    Ok(())
}

/// The same request without `node_key` and without the header.
fn without_key(request: &RecordedRequest) -> Result<RecordedRequest> {
    let key = request.header_key.as_deref().context("no key")?;
    let member = format!(r#""node_key":"{key}""#);
    let at = request.body.windows(member.len()).rposition(|window| window == member.as_bytes());
    let at = at.with_context(|| format!("{} has no key", request.name))?;
    let before = request.body[..at].strip_suffix(b",").unwrap_or(&request.body[..at]);
    let mut without = request.with_body([before, &request.body[at + member.len()..]].concat());
    without.header_key = None;
    Ok(without)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_alone_suffices() -> Result<()> {
    let requests = with_keys()?;
    let server = server_knowing(&requests).await?;
    for request in requests.iter().filter(|request| !request.is_gzip()) {
        let mut header_only = without_key(request)?;
        header_only.header_key.clone_from(&request.header_key);
        let sent = server.send(&header_only).await?;
        assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_alone_suffices() -> Result<()> {
    let requests = with_keys()?;
    let server = server_knowing(&requests).await?;
    for mut request in requests {
        request.header_key = None;
        let sent = server.send(&request).await?;
        assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_good_over_a_restart() -> Result<()> {
    let requests = with_keys()?;
    let mut server = server_knowing(&requests).await?;
    server.restart(crate::harness::Forgets::Nothing).await?;
    for request in &requests {
        let sent = server.send(request).await?;
        assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
    }
    Ok(())
}
