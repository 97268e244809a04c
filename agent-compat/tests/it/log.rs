use std::time::Duration;

use crate::harness::{RecordedRequest, golden, lines_of};
use anyhow::Result;
use futures_util::future::try_join_all;

use crate::{assert_lines, one, server_knowing};

fn is_status(request: &RecordedRequest) -> bool {
    request.name.contains("-log-status")
}

fn all_logs() -> Result<Vec<RecordedRequest>> {
    Ok([golden(4..=16)?, golden(70..=70)?].concat())
}

/// Sends one batch to a server of its own, and compares what it keeps.
async fn is_kept_as_sent(request: RecordedRequest) -> Result<()> {
    let server = server_knowing([&request]).await?;
    let sent = server.send(&request).await?;
    assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
    assert_eq!(sent.text(), "{}");
    let lines = lines_of(&request)?;
    assert!(!lines.is_empty(), "{}", request.name);
    let (kept, other) = match is_status(&request) {
        true => (server.status_lines()?, server.result_lines()?),
        false => (server.result_lines()?, server.status_lines()?),
    };
    assert_lines(&kept, &lines, &request.name);
    assert_lines(&other, &[], &request.name);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_batch_is_kept_byte_for_byte_and_in_order() -> Result<()> {
    let requests = all_logs()?;
    assert_eq!(requests.len(), 14);
    // A few servers at a time.
    for some in requests.chunks(4) {
        try_join_all(some.iter().cloned().map(is_kept_as_sent)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_utf8_are_kept() -> Result<()> {
    let request = one(15)?;
    assert!(std::str::from_utf8(&request.body).is_err());
    let server = server_knowing([&request]).await?;
    server.send(&request).await?;
    let kept = server.result_lines()?.concat();
    assert!(kept.windows(3).any(|bytes| bytes == b"A\xffB"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_lines_of_one_batch_are_kept_in_their_number() -> Result<()> {
    let request = one(70)?;
    let lines = lines_of(&request)?;
    let twice: Vec<_> =
        lines.iter().filter(|line| lines.iter().filter(|other| other == line).count() == 2).cloned().collect();
    assert_eq!(twice.len(), 2, "the recording has one line that is there twice");
    let server = server_knowing([&request]).await?;
    server.send(&request).await?;
    assert_eq!(server.result_lines()?.iter().filter(|line| **line == twice[0]).count(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_sends_that_sees_no_answer_is_kept_once() -> Result<()> {
    let request = one(16)?;
    let server = server_knowing([&request]).await?;
    for millis in [0, 1, 2, 4, 8, 16, 32, 64] {
        // However far it came: the agent has given up and sends the same again.
        let _ = server.send_within(&request, Duration::from_millis(millis)).await;
    }
    assert!(server.send(&request).await?.verdict.is_success());
    assert_lines(&server.result_lines()?, &lines_of(&request)?, &request.name);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_without_lines_is_accepted() -> Result<()> {
    let request = one(7)?;
    let server = server_knowing([&request]).await?;
    let body = r#"{"data":[],"log_type":"result","node_key":"nodekey-s1-main-1"}"#;
    assert!(server.send(&request.with_body(body)).await?.verdict.is_success());
    assert_lines(&server.result_lines()?, &[], "no lines");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_cut_off_is_refused_whole() -> Result<()> {
    let request = one(6)?;
    let server = server_knowing([&request]).await?;
    let sent = server.send(&request.with_body(&request.body[..request.body.len() / 2])).await?;
    assert!(matches!(sent.verdict, agent_compat::Verdict::Failure(_)), "{}", sent.text());
    assert_lines(&server.result_lines()?, &[], "half a batch");
    Ok(())
}
