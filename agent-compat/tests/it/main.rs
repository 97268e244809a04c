//! Two kinds of tests: `model` holds the model of an agent to the behaviour of real ones; all others send what a real
//! osqueryd sent, byte for byte, to a real server, and check that agents get the answers they need and that the data is
//! kept as sent.

mod carves;
mod config;
mod connections;
mod distributed;
mod enroll;
mod harness;
mod keys;
mod live_states;
mod log;
mod model;
mod old_versions;
mod osqueryd;
mod poison;
mod recordings;
mod reenroll;
mod retries;
mod urls;

use crate::harness::{CompatServer, RecordedRequest, golden};
use anyhow::{Context as _, Result};

/// Log lines without their newlines.
type LogLines = Vec<Vec<u8>>;

/// One recorded single request.
fn one(number: u32) -> Result<RecordedRequest> {
    golden(number..=number)?.pop().with_context(|| format!("no recorded request {number}"))
}

/// A server with one host, to which the keys in these requests belong.
async fn server_knowing<'a>(requests: impl IntoIterator<Item = &'a RecordedRequest>) -> Result<CompatServer> {
    let server = CompatServer::start().await?;
    let host_id = server.enroll_recorded(&one(1)?).await?;
    for key in requests.into_iter().filter_map(|request| request.header_key.as_deref()) {
        server.seed_key(key, host_id)?;
    }
    Ok(server)
}

/// Lines as text, for messages that can be read.
fn shown(lines: &[Vec<u8>]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// Compares bytes, and shows text when they differ.
#[track_caller]
fn assert_lines(kept: &[Vec<u8>], sent: &[Vec<u8>], context: &str) {
    assert!(kept == sent, "{context}\nkept: {:#?}\nsent: {:#?}", shown(kept), shown(sent));
}
