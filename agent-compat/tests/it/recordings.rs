//! Whole recorded sequences.

use crate::harness::{CompatServer, Recorded, RecordedRequest, Sent, lines_of, recording, recordings, unique_lines};
use agent_compat::agent::AgentEndpoint;
use anyhow::Result;

use crate::{LogLines, assert_lines, server_knowing};

/// Logged lines of a sequence: the result lines, each once, and the batches of status lines.
fn logged<'a>(requests: impl Iterator<Item = &'a RecordedRequest>) -> Result<(LogLines, Vec<LogLines>)> {
    let (mut results, mut statuses) = (Vec::new(), Vec::new());
    for request in requests.filter(|request| request.endpoint() == Some(AgentEndpoint::Log)) {
        let is_status = request.body.windows(19).any(|window| window == br#""log_type":"status""#);
        if is_status { &mut statuses } else { &mut results }.push(lines_of(request)?);
    }
    Ok((unique_lines(results), statuses))
}

/// No status line is lost, and one is kept twice only if it came in a batch that has no other: such a batch may be a new
/// event rather than a repeat.
fn assert_statuses(kept: &LogLines, sent: &[LogLines], context: &str) {
    assert_lines(&unique_lines([kept.clone()]), &unique_lines(sent.iter().cloned()), context);
    let is_alone = |line: &Vec<u8>| sent.iter().any(|batch| batch.iter().all(|other| other == line));
    for line in kept {
        let count = kept.iter().filter(|other| *other == line).count();
        assert!(count == 1 || is_alone(line), "{context}: kept {count} times: {}", String::from_utf8_lossy(line));
    }
}

fn is_as_needed(request: &RecordedRequest, sent: &Sent) -> bool {
    match request.header_key {
        // Recorded before the agent had a key, or after it had lost it.
        None if request.endpoint() != Some(AgentEndpoint::Enroll) => sent.verdict.is_node_invalid(),
        _ => sent.verdict.is_success(),
    }
}

/// Sends a whole recording to a server that knows its keys; returns how many requests it has.
async fn replay(name: &str) -> Result<usize> {
    let recorded = recording(name)?;
    let requests: Vec<&RecordedRequest> = recorded.iter().map(|(_, request)| request).collect();
    let server = server_knowing(requests.iter().copied()).await?;
    let mut session = String::new();
    for request in &requests {
        let sent = server.send(&request.with_session(&session)).await?;
        assert!(is_as_needed(request, &sent), "{}: {}", request.name, sent.text());
        if let Some(begun) = sent.json()["session_id"].as_str() {
            begun.clone_into(&mut session);
        }
    }
    let (results, statuses) = logged(requests.iter().copied())?;
    assert_lines(&server.result_lines()?, &results, name);
    assert_statuses(&server.status_lines()?, &statuses, name);
    Ok(requests.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_sequence_is_answered_as_the_agent_needs_and_each_line_is_kept_once() -> Result<()> {
    let mut count = 0;
    for name in recordings(43..=69)? {
        count += replay(&name).await?;
    }
    assert!(count >= 350, "only {count} requests");
    Ok(())
}

/// Sends a recording in which the server forgot keys to one that forgets them at the same moments.
async fn replay_with_forgetting(name: &str) -> Result<()> {
    let recorded = recording(name)?;
    let mut server = CompatServer::start().await?;
    let host_id = server.enroll_recorded(&crate::one(2)?).await?;
    let mut is_forgotten = false;
    for (answer, request) in &recorded {
        if *answer == Recorded::KeyRefused && !is_forgotten {
            server.restart(crate::harness::Forgets::AllNodeKeys).await?;
            is_forgotten = true;
        }
        if !is_forgotten && let Some(key) = &request.header_key {
            server.seed_key(key, host_id)?;
        }
        let sent = server.send(request).await?;
        match answer {
            Recorded::KeyRefused => assert!(sent.verdict.is_node_invalid(), "{}: {}", request.name, sent.text()),
            _ => assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text()),
        }
        if let Recorded::Enrolled(key) = answer {
            assert_eq!(server.only_host()?, host_id, "the same row");
            server.seed_key(key, host_id)?;
        }
    }
    assert!(is_forgotten || name.starts_with("38") || name.starts_with("42"), "{name}");
    let kept = recorded.iter().filter(|(answer, _)| *answer != Recorded::KeyRefused).map(|(_, request)| request);
    let (results, statuses) = logged(kept)?;
    assert_lines(&server.result_lines()?, &results, name);
    assert_statuses(&server.status_lines()?, &statuses, name);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_whose_key_was_forgotten_come_back_as_recorded() -> Result<()> {
    let names = recordings(37..=42)?;
    assert_eq!(names.len(), 6);
    for name in names {
        replay_with_forgetting(&name).await?;
    }
    Ok(())
}
