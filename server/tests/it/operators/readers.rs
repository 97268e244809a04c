use std::time::Duration;

use crate::rest::hosts::add_hosts_to;
use crate::support::{TestServer, eventually};

const SOON: Duration = Duration::from_secs(60);

/// More than what the sockets of a connection hold.
const MANY: u32 = 20_000;

#[tokio::test]
async fn as_many_lists_are_sent_at_one_time_as_may_be() {
    let mut server = TestServer::with(|config| config.server.max_streams = 1).await;
    add_hosts_to(&mut server, MANY).await;
    let observer = server.user("observer");
    let open = server.rest.getting("hosts").send().await.unwrap();
    assert_eq!(open.status(), 200);
    for path in ["hosts", "hosts/report?format=csv", "hosts/report?format=ndjson"] {
        let refused = observer.get(path).await;
        assert_eq!(refused.status, 503, "{path}: {}", refused.text);
        assert_eq!(refused.headers["retry-after"], "1");
        assert!(refused.problems()[0].contains("server.max_streams"), "{}", refused.text);
    }
    assert_eq!(observer.get("hosts?per_page=100").await.status, 200, "a short list is not sent in parts");
    drop(open);
    eventually("a list that is given up makes room", SOON, async || {
        (observer.get("hosts").await.status == 200).then_some(())
    })
    .await;
}

/// A reader who stops reading keeps its connection, and nothing else: no list, no thread, no room.
#[tokio::test]
async fn a_reader_who_stops_reading_holds_nothing_after_a_while() {
    let mut server = TestServer::with(|config| {
        config.server.max_streams = 1;
        config.server.max_lists_per_user = 1;
        config.server.stream_timeout = Duration::from_millis(500);
    })
    .await;
    add_hosts_to(&mut server, MANY).await;
    for path in ["hosts", "hosts/report?format=csv"] {
        let open = server.rest.getting(path).send().await.unwrap();
        assert_eq!(open.status(), 200);
        let whole = eventually("the list is given up", SOON, async || {
            Some(server.rest.get(path).await).filter(|answer| answer.status == 200)
        })
        .await;
        assert!(whole.text.contains(&format!("host-{MANY:09}")), "the list of somebody who reads is whole");
        assert!(open.text().await.is_err(), "what is left of a list does not look whole");
    }
    assert_eq!(server.metric("muster_limit_hits_total{limit=\"stream_timeout\"}").await, 2.0);
    assert_eq!(server.metric("muster_pool_busy").await, 0.0);
}

/// A list that takes long breaks off when the session of its reader ends, whether the reader takes anything or not.
#[tokio::test]
async fn a_list_ends_with_the_session_of_its_reader() {
    let mut server = TestServer::with(|config| {
        config.server.max_streams = 1;
        config.server.stream_timeout = Duration::from_secs(3600);
    })
    .await;
    add_hosts_to(&mut server, MANY).await;
    let leaves = server.user("observer");
    let open = leaves.getting("hosts/report?format=csv").send().await.unwrap();
    assert_eq!(open.status(), 200);
    assert_eq!(leaves.post("logout", &serde_json::json!({})).await.status, 200);
    eventually("the list ends", SOON, async || {
        (server.rest.get("hosts/report?format=csv").await.status == 200).then_some(())
    })
    .await;
    assert!(open.text().await.is_err(), "what was sent of it does not look whole");
}
