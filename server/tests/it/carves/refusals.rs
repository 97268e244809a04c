use agent_compat::agent::AgentEndpoint;
use agent_compat::{CarveOutcome, Carver, Exchange, TestAgent};
use muster::config::Bytes;

use super::{agent_of, archive, assert_given_up, assert_kept, assert_not_kept, begun, contents, shown};
use crate::support::TestServer;

async fn post_block(agent: &TestAgent, body: impl Into<String>, headers: &[(&'static str, &str)]) -> Exchange {
    agent.post("/api/v1/osquery/carve/block", AgentEndpoint::Log, body.into(), headers).await
}

#[tokio::test]
async fn a_block_that_is_not_of_the_carve_is_refused_and_nothing_of_it_is_kept() {
    let server = TestServer::start().await;
    // Their keys are in the header, too.
    let (agent, other) = (agent_of(&server, 1, "5.23.0").await, agent_of(&server, 2, "5.23.0").await);
    let carver = Carver::numbered(1, 10, archive(35));
    let session = begun(&carver, &agent).await;
    assert_kept(&carver.block(&agent, &session, 0).await);
    let no_header = [("Authorization", "Bearer nothing")];
    for wrong in ["", "made-up", &session[1..], &carver.carve_id] {
        let body = carver.block_body(wrong, 1);
        assert_not_kept(&post_block(&agent, body.clone(), &[]).await, 403, "no carve of this session");
        assert_not_kept(&post_block(&agent, body, &no_header).await, 403, "no carve of this session");
    }
    let of_another = Carver { request_id: "another".to_owned(), ..carver.clone() };
    assert_not_kept(&of_another.block(&agent, &session, 1).await, 400, "not the request of the session");
    assert_not_kept(&carver.block(&other, &session, 1).await, 403, "another host's");
    let long = archive(11);
    for (block, data, reason) in [
        (1, &long[..9], "block 1 must have 10 bytes and has 9"),
        (1, &long[..11], "block 1 must have 10 bytes and has 11"),
        (3, &long[..10], "block 3 must have 5 bytes and has 10"),
        (4, &long[..0], "the carve has 4 blocks"),
        (0, &long[1..], "there already, with other bytes"),
        (u64::MAX, &long[..10], "the carve has 4 blocks"),
    ] {
        let body = carver.block_body_of(&session, block, data);
        assert_not_kept(&post_block(&agent, body, &[]).await, 400, reason);
    }
    let body = carver.block_body(&session, 1);
    for (broken, reason) in [
        (body.replace("\"data\":\"", "\"data\":\"!"), "not base64"),
        (body.replace("\"block_id\":1", "\"block_id\":-1"), "block_id is not a whole number"),
        (body.replace("\"block_id\":1,", ""), "block_id is not a whole number"),
        (body[..body.len() - 5].to_owned(), "ends too early"),
        (String::new(), "ends too early"),
        ("[]".to_owned(), "not a JSON object"),
    ] {
        assert_not_kept(&post_block(&agent, broken, &[]).await, 400, reason);
    }
    let unknown_key = [("Authorization", "NodeKey made-up")];
    assert_not_kept(&post_block(&agent, body, &unknown_key).await, 401, "invalid node key");
    assert_eq!(shown(&server, 1).await["received_blocks"], 1);
    for block in 0..4 {
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    assert!(contents(&server, 1).await == carver.contents);
}

#[tokio::test]
async fn a_block_over_the_limit_is_refused_whoever_sends_it() {
    let server = TestServer::with(|config| config.carves.max_block_size = Bytes::mib(2)).await;
    let agent = agent_of(&server, 1, "5.23.0").await;
    let carver = Carver::numbered(1, 2 << 20, archive(3 << 20));
    let session = begun(&carver, &agent).await;
    let large = carver.block_body_of(&session, 0, &archive((2 << 20) + 9_000));
    assert_not_kept(&post_block(&agent, large.clone(), &[]).await, 413, "carves.max_block_size");
    let no_header = [("Authorization", "Bearer nothing")];
    assert_not_kept(&post_block(&agent, large, &no_header).await, 413, "carves.max_block_size");
    // Of an unknown sender nothing is read beyond the session.
    let stranger = carver.block_body("made-up", 0);
    assert_not_kept(&post_block(&agent, stranger, &no_header).await, 403, "no carve of this session");
    let turned = carver.block_body(&session, 0);
    let (head, data) = turned.trim_matches(['{', '}']).split_once(",\"data\"").unwrap();
    let turned = format!("{{\"data\"{data},{head}}}");
    assert_not_kept(&post_block(&agent, turned.clone(), &no_header).await, 400, "session_id before data");
    // With a key in the header the order does not matter.
    assert_kept(&post_block(&agent, turned, &[]).await);
    assert_kept(&carver.block(&agent, &session, 1).await);
    assert!(contents(&server, 1).await == carver.contents);
}

#[tokio::test]
async fn a_beginning_that_makes_no_sense_is_given_up() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 10, archive(35));
    let body = carver.begin_body(agent.node_key());
    let begin = async |body: String| agent.post("/api/v1/osquery/carve/begin", AgentEndpoint::Log, body, &[]).await;
    for (from, to, reason) in [
        ("\"block_count\":4", "\"block_count\":3", "are not carve_size bytes"),
        ("\"block_count\":4", "\"block_count\":5", "are not carve_size bytes"),
        ("\"block_size\":10", "\"block_size\":0", "are not carve_size bytes"),
        ("\"carve_size\":35", "\"carve_size\":0", "are not carve_size bytes"),
        ("\"carve_size\":35", "\"carve_size\":18446744073709551615", "are not carve_size bytes"),
        (carver.carve_id.as_str(), "", "carve_id must have"),
        (carver.request_id.as_str(), "two words", "request_id must have"),
        ("\"block_count\":4", "\"block_count\":[4]", "is not a whole number"),
    ] {
        assert_given_up(&begin(body.replace(from, to)).await, reason);
    }
    let headers = [("Authorization", "Bearer nothing")];
    let body = body.replace(agent.node_key(), "made-up");
    let unknown = agent.post("/api/v1/osquery/carve/begin", AgentEndpoint::Log, body, &headers).await;
    assert!(unknown.verdict.is_node_invalid(), "{unknown:?}");
}

/// What stands in the way goes away, and the agent, which has tried again, has lost nothing.
#[tokio::test]
async fn files_that_cannot_be_written_are_said_so_and_the_agent_tries_again() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 10, archive(35));
    let in_the_way = server.folder().join("carves");
    std::fs::write(&in_the_way, "a file").unwrap();
    assert_not_kept(&carver.begin(&agent).await, 503, "cannot be written");
    assert!(matches!(carver.send(&agent).await, CarveOutcome::PostFailed(text) if text.contains("cannot be written")));
    std::fs::remove_file(&in_the_way).unwrap();
    let session = begun(&carver, &agent).await;
    assert_kept(&carver.block(&agent, &session, 0).await);
    let key: Vec<_> = std::fs::read_dir(&in_the_way).unwrap().map(|entry| entry.unwrap().path()).collect();
    let aside = server.folder().join("aside");
    std::fs::rename(&key[0], &aside).unwrap();
    std::fs::write(&key[0], "a file").unwrap();
    assert_not_kept(&carver.block(&agent, &session, 1).await, 503, "cannot be written");
    assert_eq!(shown(&server, 1).await["received_blocks"], 1);
    std::fs::remove_file(&key[0]).unwrap();
    std::fs::rename(&aside, &key[0]).unwrap();
    for block in 1..4 {
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    assert!(contents(&server, 1).await == carver.contents);
}

/// Older agents take any JSON for the success of a block, and would call a carve done of which nothing has come.
#[tokio::test]
async fn a_mistyped_path_of_a_block_is_refused_in_text() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 10, archive(35));
    let session = begun(&carver, &agent).await;
    for path in ["/api/v1/osquery/carve/blok", "/api/v1/osquery/carves/block", "/api/osquery/carve", "/carve/block"] {
        let body = carver.block_body(&session, 0);
        let answer = agent.post(path, AgentEndpoint::Log, body, &[]).await;
        assert_not_kept(&answer, 404, "check the agent's *_tls_endpoint flags");
    }
    assert_eq!(shown(&server, 1).await["received_blocks"], 0);
}
