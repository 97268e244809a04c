use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{admin, assert_guarded};
use crate::live::{ask, hosts};
use crate::support::{Browser, TestServer, Visitor};

/// Lets an agent answer a live query with these rows, whatever they are.
async fn answer(agent: &mut TestAgent, id: i64, rows: &Value) {
    assert!(agent.read().await.verdict.is_success());
    let query = format!("fleet_distributed_query_{id}");
    let body = json!({ "node_key": agent.node_key(), "queries": { &query: rows }, "statuses": { &query: 0 } });
    assert!(agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await.verdict.is_success());
}

/// One host that answers with a million rows of nothing, and one with a thousand columns, cost a page and a part of a file
/// little.
#[tokio::test]
async fn hostile_answers_make_no_large_pages() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 2).await;
    let id = ask(&server, "SELECT 1").await.id;
    let (path, csv) = (format!("/live/{id}"), format!("/live/{id}/results.csv"));
    answer(&mut agents[0], id, &json!(vec![json!({}); 100_000])).await;
    let visitor = admin(&server);
    let page = visitor.get(&path).await;
    assert_guarded(&path, &page);
    assert_eq!(page.text.matches("<td class=\"name\">").count(), 200);
    assert!(page.text.len() < 60_000, "{}", page.text.len());
    assert!(page.text.contains("the exports have all"), "{}", page.text);
    let wide: serde_json::Map<String, Value> =
        (0..1_000).map(|column| (format!("c{column}"), format!("\u{202e}{column}").into())).collect();
    answer(&mut agents[1], id, &json!([wide])).await;
    let page = visitor.get(&path).await.text;
    assert!(page.len() < 60_000, "{}", page.len());
    // All of it comes, in parts: 100,001 lines of 1,003 cells.
    let response = visitor.getting(&csv).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let (mut parts, mut lines, mut bytes) = (response.bytes_stream(), 0, 0);
    while let Some(part) = parts.next().await {
        let part = part.unwrap();
        lines += part.iter().filter(|byte| **byte == b'\n').count();
        bytes += part.len();
    }
    assert_eq!(lines, 100_002);
    assert!(bytes > 100_000_000, "{bytes}");
    // One column too many is told before anything is sent.
    let mut agent = server.enrolled(7).await;
    crate::checkin::settle(&mut agent).await;
    let id = ask(&server, "SELECT 2").await.id;
    let wide: serde_json::Map<String, Value> = (0..1_001).map(|column| (format!("c{column}"), "".into())).collect();
    answer(&mut agent, id, &json!([wide])).await;
    let refused = visitor.get(&format!("/live/{id}/results.csv")).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("more than 1000 columns"), "{}", refused.text);
}

/// No cache between keeps what a user may read, and no browser takes a file for a page.
#[tokio::test]
async fn files_are_kept_by_nobody() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    answer(&mut agents[0], id, &json!([{ "hostname": "x", "a": "1" }])).await;
    let visitor = admin(&server);
    for path in ["/hosts.csv".to_owned(), format!("/live/{id}/results.csv"), format!("/live/{id}/results.ndjson")] {
        let file = visitor.get(&path).await;
        assert_eq!(file.status, 200, "{path}: {}", file.text);
        assert_eq!(file.headers["cache-control"], "no-store", "{path}");
        assert_eq!(file.headers["x-content-type-options"], "nosniff", "{path}");
    }
    let csv = visitor.get(&format!("/live/{id}/results.csv")).await.text;
    assert!(csv.starts_with("host_id,hostname,error,answer_hostname,a\r\n"), "each column once: {csv}");
}

/// Reads a stream to its end. Whether it was broken off.
async fn is_broken_off(stream: reqwest::Response) -> bool {
    let mut parts = stream.bytes_stream();
    let end = async {
        while let Some(part) = parts.next().await {
            if part.is_err() {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(Duration::from_secs(60), end).await.expect("the stream ends")
}

/// What one user follows leaves room for others, and ends with the session.
#[tokio::test]
async fn streams_are_bounded_for_each_user_and_end_with_the_session() {
    let server = TestServer::with(|config| config.live.max_followers = 10).await;
    hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    let (path, visitor) = (format!("/live/{id}/stream"), admin(&server));
    let follow = async |visitor: &Visitor| {
        let stream = visitor.getting(&path).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream
    };
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(follow(&visitor).await);
    }
    let newest = follow(&visitor).await;
    assert!(is_broken_off(streams.remove(0)).await, "the one that has followed longest makes room");
    let other = follow(&Visitor::of(&server.address, &server.user("maintainer"))).await;
    assert_eq!(visitor.submit("/hosts", "/logout", &[]).await.status, 303);
    assert!(is_broken_off(newest).await, "nobody takes it for a good end");
    for stream in streams {
        assert!(is_broken_off(stream).await);
    }
    let maintainer = server.rest.with_token("token-of-maintainer");
    assert_eq!(maintainer.post(&format!("live_queries/{id}/cancel"), &json!({})).await.status, 200);
    assert!(!is_broken_off(other).await, "others go on to their end");
}

/// An observer sees the own live queries, however many others there are.
#[tokio::test]
async fn observers_find_their_own_live_queries_among_many() {
    let server = crate::pages::lively::server().await;
    hosts(&server, 1).await;
    let observer = Visitor::of(&server.address, &server.user("observer"));
    let asked = observer.submit("/live", "/live", &[("saved", "system info"), ("all", "true")]).await;
    assert_eq!(asked.status, 303, "{}", asked.text);
    for number in 0..110 {
        server
            .rest
            .post("live_queries", &json!({ "query": format!("SELECT {number}"), "targets": { "all": true } }))
            .await;
    }
    let page = observer.get("/live").await.text;
    assert!(page.contains("FROM system_info") && !page.contains("SELECT 109"), "{page}");
    let page = admin(&server).get("/live").await.text;
    assert!(page.contains("SELECT 109") && !page.contains("SELECT 9<"), "the latest");
}

/// What is wrong with a form is said behind the name of its field, in the units of the form.
#[tokio::test]
async fn problems_are_in_the_words_of_the_form() {
    let server = TestServer::start().await;
    hosts(&server, 1).await;
    let visitor = admin(&server);
    let deadline = "Deadline in minutes: expects 1 to 10080 (";
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("sql", "SELECT 1"), ("all", "true"), ("minutes", "0")], deadline),
        (&[("sql", "SELECT 1"), ("all", "true"), ("minutes", "10081")], deadline),
        (&[("sql", "SELECT 1"), ("all", "true"), ("rate", "x")], "Hosts a second: expects a whole number, not x"),
        (&[("all", "true")], "SQL: Write a query."),
        (&[("sql", "SELECT 1"), ("hosts", "nobody")], "Single hosts: no host is called"),
        (&[("saved", "nothing"), ("all", "true")], "Saved query: there is no query nothing"),
    ];
    for (fields, problem) in cases {
        let refused = visitor.submit("/live", "/live", fields).await;
        assert_eq!(refused.status, 422, "{fields:?}: {}", refused.text);
        let text = refused.text.replace("<bdi>", "").replace("</bdi>", "");
        assert!(text.contains(problem), "{fields:?}: {text}");
        assert!(!text.contains("fleetctl get"), "{fields:?}: {text}");
        let has_link = text.contains("see <a href=\"hosts\">Hosts</a>");
        assert_eq!(has_link, problem.starts_with("Single"), "{fields:?}: {text}");
    }
    let page = visitor.get("/live?saved=nothing").await.text;
    assert!(page.contains("there is no query nothing") && page.contains("name=\"sql\""), "{page}");
    assert!(!page.contains("Runs the saved query"), "{page}");
}

/// Characters that nobody sees are shown by their number also in answers that come while one looks.
#[tokio::test]
async fn streamed_cells_hide_nothing() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&format!("{}/live/{id}", server.address.url)).await;
    let rows = json!([{ "a": "<b>x\u{202e}y\u{200b}", "b\u{feff}": "é".repeat(500) }]);
    answer(&mut agents[0], id, &rows).await;
    browser.until("document.querySelectorAll('#results tbody tr').length === 1").await;
    let text = browser.text().await;
    for part in ["<b>xU+202EyU+200B", "bU+FEFF", &format!("{}…", "é".repeat(200))] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(['\u{202e}', '\u{200b}', '\u{feff}']), "{text}");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
