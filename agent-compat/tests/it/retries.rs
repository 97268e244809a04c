//! Requests that agents send again when they have seen no answer, or one they could not use.

use crate::harness::{CompatServer, Drive, Fate, Recorded, lines_of, recording, unique_lines};
use agent_compat::TestAgent;
use agent_compat::agent::{AgentEndpoint, ExchangeStep};
use anyhow::Result;

use crate::{LogLines, assert_lines, one, server_knowing};

/// The batches of a recording, sent in order; every answer of ours is success, although the agent did not see it then.
async fn kept_of(name: &str) -> Result<(LogLines, LogLines)> {
    let recorded = recording(name)?;
    let server = server_knowing(recorded.iter().map(|(_, request)| request)).await?;
    let mut batches = Vec::new();
    for (_, request) in &recorded {
        assert!(server.send(request).await?.verdict.is_success(), "{}", request.name);
        batches.push(lines_of(request)?);
    }
    let sent: usize = batches.iter().map(Vec::len).sum();
    let unique = unique_lines(batches);
    assert!(unique.len() < sent, "{name} repeats nothing");
    Ok((server.result_lines()?, unique))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_resent_after_a_dropped_connection_is_kept_once() -> Result<()> {
    let recorded = recording("49-log-dropped-connection.tsv")?;
    assert_eq!(recorded[0].0, Recorded::Lost);
    assert_eq!(recorded[0].1.body, recorded[1].1.body, "the recording repeats the same bytes");
    let (kept, sent) = kept_of("49-log-dropped-connection.tsv").await?;
    assert_eq!(sent.len(), 7);
    assert_lines(&kept, &sent, "49");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_resent_with_newer_lines_after_silence_gives_each_line_once() -> Result<()> {
    let (kept, sent) = kept_of("50-log-hang.tsv").await?;
    assert_lines(&kept, &sent, "50");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_window_resent_ten_times_gives_each_line_once() -> Result<()> {
    let (kept, sent) = kept_of("48-log-500-no-backoff-byte-identical.tsv").await?;
    assert_lines(&kept, &sent, "48");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_repeated_after_a_restart_loses_no_line() -> Result<()> {
    let recorded = recording("49-log-dropped-connection.tsv")?;
    let mut server = server_knowing(recorded.iter().map(|(_, request)| request)).await?;
    server.send(&recorded[0].1).await?;
    server.restart(crate::harness::Forgets::Nothing).await?;
    // What was sent last is not remembered over a restart: at least once is what is promised then.
    assert!(server.send(&recorded[1].1).await?.verdict.is_success());
    let kept = server.result_lines()?;
    for line in lines_of(&recorded[0].1)? {
        assert!(kept.contains(&line), "a line is lost");
    }
    Ok(())
}

/// A model agent with recorded lines in its buffer, some of them there twice.
fn agent_with_lines(server: &CompatServer, numbers: &[u32]) -> Result<(TestAgent, LogLines)> {
    let mut agent = server.agent(1)?;
    let mut lines = Vec::new();
    for number in numbers {
        for line in lines_of(&one(*number)?)? {
            agent.push_result_line(&line);
            lines.push(line);
        }
    }
    Ok((agent, lines))
}

async fn drive_through(fates: &[Fate]) -> Result<()> {
    let server = CompatServer::start().await?;
    let (mut agent, mut lines) = agent_with_lines(&server, &[6, 70, 15])?;
    let now_ms = agent.now_ms();
    let mut left = fates.to_vec();
    left.reverse();
    let fate = |request: &agent_compat::agent::Request| match request.endpoint {
        AgentEndpoint::Log => left.pop().unwrap_or(Fate::Arrives),
        _ => Fate::Arrives,
    };
    let mut drive = Drive::new(agent.agent_mut(), server.transport()?, now_ms).with_fate(fate);
    drive.until_success(ExchangeStep::Results).await?;
    drop(drive);
    let mut kept = server.result_lines()?;
    // The agent's buffer has an order of its own.
    kept.sort();
    lines.sort();
    assert_lines(&kept, &lines, &format!("{fates:?}"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_agent_loses_and_repeats_nothing_when_connections_break() -> Result<()> {
    drive_through(&[Fate::Lost]).await?;
    drive_through(&[Fate::Lost, Fate::Lost, Fate::Lost]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_agent_loses_and_repeats_nothing_when_it_gives_up_waiting() -> Result<()> {
    drive_through(&[Fate::TooLate]).await?;
    drive_through(&[Fate::TooLate, Fate::Lost, Fate::TooLate]).await
}
