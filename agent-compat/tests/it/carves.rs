//! Recorded carves: what the agent has sent is kept, byte for byte.

use agent_compat::accepted;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::harness::{CompatServer, RecordedRequest};
use crate::{one, server_knowing};

/// Sends the beginning and gives the session.
async fn begun(server: &CompatServer, request: &RecordedRequest) -> Result<String> {
    let sent = server.send(request).await?;
    assert!(sent.verdict.is_success(), "{}: {}", request.name, sent.text());
    let session = sent.json()["session_id"].as_str().unwrap_or_default().to_owned();
    assert!(session.len() >= 32, "{}", sent.text());
    Ok(session)
}

/// The bytes in the body of a block.
fn data_of(request: &RecordedRequest) -> Result<Vec<u8>> {
    let body: Value = serde_json::from_slice(&request.body)?;
    Ok(STANDARD.decode(body["data"].as_str().context("no data")?)?)
}

/// The one carve there is: its state, and its contents out of the files.
fn kept(server: &CompatServer) -> Result<(String, Vec<u8>)> {
    let select = "SELECT status, content_key, block_count FROM carves";
    let (status, key, count): (String, String, i64) =
        server.database()?.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let folder = server.config().sqlite.path.with_file_name("carves").join(key);
    let mut contents = Vec::new();
    for block in 0..count {
        contents.extend(std::fs::read(folder.join(block.to_string())).unwrap_or_default());
    }
    Ok((status, contents))
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_carves_are_kept_as_they_were_sent() -> Result<()> {
    for numbers in [&[31, 32, 33][..], &[34, 35]] {
        let requests = numbers.iter().map(|number| one(*number)).collect::<Result<Vec<_>>>()?;
        let server = server_knowing(&requests).await?;
        let session = begun(&server, &requests[0]).await?;
        let mut contents = Vec::new();
        for request in &requests[1..] {
            contents.extend(data_of(request)?);
            assert_eq!(kept(&server)?.0, "receiving");
            // The agent has not seen the answer and sends the block again.
            for _ in 0..2 {
                let sent = server.send(&request.with_session(&session)).await?;
                assert_eq!(sent.text(), r#"{"success":true}"#, "{}", request.name);
            }
        }
        let (status, kept) = kept(&server)?;
        assert_eq!(status, "complete");
        assert!(kept == contents, "{} bytes of {}", kept.len(), contents.len());
    }
    Ok(())
}

/// In the recordings blocks were answered with JSON that says no, and the agent went on as if they were kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_refused_in_words_that_the_agent_does_not_take_for_success() -> Result<()> {
    let (begin, block) = (one(31)?, one(32)?);
    let server = server_knowing([&begin, &block]).await?;
    begun(&server, &begin).await?;
    let refused = server.send_within(&block.with_session("made-up"), std::time::Duration::from_secs(16)).await?;
    assert_eq!(refused.status, 403);
    assert!(accepted(&refused.body).is_none(), "{}", String::from_utf8_lossy(&refused.body));
    assert_eq!(kept(&server)?, ("receiving".to_owned(), Vec::new()));
    Ok(())
}
