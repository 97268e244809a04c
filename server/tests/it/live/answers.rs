use std::sync::Arc;

use agent_compat::agent::AgentEndpoint;
use muster::config::Bytes;
use muster_api::rest::{LiveStatus, TargetState};
use serde_json::json;

use super::{RETRY_WINDOW, answers, ask, counts, hosts, job};
use crate::support::{ENROLL_SECRET, TestServer, assert_refused, object};

#[tokio::test]
async fn a_failing_query_says_why_and_spoils_no_other() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 1).await;
    let bad = ask(&server, "SELECT * FROM no_such_table").await.id;
    let good = ask(&server, "SELECT 1 AS one").await.id;
    agents[0].distributed().await;
    let failed = &answers(&server, bad, 0).await[0];
    assert_eq!(failed.state, TargetState::Failed);
    assert!(failed.error.as_deref().unwrap().contains("no_such_table"), "{failed:?}");
    assert_eq!(answers(&server, good, 0).await[0].rows, [json!({ "one": "1" })]);
}

/// What real agents were seen to send: a message for several statements in one, raw bytes in text, a denylisted query.
#[tokio::test]
async fn recorded_shapes_end_in_the_right_state() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    for (rows, status, message, state) in [
        (&b"[]"[..], 1, "map::at", TargetState::Failed),
        (b"[{\"path\":\"A\xffB\"}]", 0, "", TargetState::Answered),
        (b"[]", 1, "distributed query is denylisted", TargetState::Denylisted),
        (b"\"\"", 0, "", TargetState::Answered),
    ] {
        let id = ask(&server, &format!("SELECT {status}, '{message}'")).await.id;
        agents[0]
            .raw(AgentEndpoint::DistributedRead, json!({ "node_key": agents[0].node_key() }).to_string(), &[])
            .await;
        let name = format!("fleet_distributed_query_{id}");
        let mut body = format!("{{\"queries\":{{\"{name}\":").into_bytes();
        body.extend_from_slice(rows);
        body.extend_from_slice(
            format!(
                "}},\"statuses\":{{\"{name}\":{status}}},\"messages\":{{\"{name}\":\"{message}\"}},\"node_key\":\"{}\"}}",
                agents[0].node_key()
            )
            .as_bytes(),
        );
        assert!(agents[0].raw(AgentEndpoint::DistributedWrite, body.clone(), &[]).await.verdict.is_success());
        assert!(
            agents[0].raw(AgentEndpoint::DistributedWrite, body, &[]).await.verdict.is_success(),
            "a repeat is taken"
        );
        let kept = answers(&server, id, 0).await;
        assert_eq!(kept.len(), 1, "and kept once");
        assert_eq!(kept[0].state, state, "{message}");
    }
}

#[tokio::test]
async fn three_agents_that_die_of_it_stop_the_job() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 5).await;
    for agent in &mut agents {
        agent.agent_mut().set_killer(Some(Arc::new(|sql: &str| sql.contains("deadly"))));
        // The server learns how often they fetch their config.
        for _ in 0..3 {
            agent.config().await;
            server.clock.advance(std::time::Duration::from_secs(60));
        }
    }
    let id = ask(&server, "SELECT 'deadly'").await.id;
    for agent in &mut agents {
        agent.distributed().await;
        // The new worker fetches its config at once, and asks for work when it is past repeating an answer.
        agent.config().await;
        server.clock.advance(std::time::Duration::from_secs(5));
        agent.config().await;
        server.clock.advance(RETRY_WINDOW);
        agent.distributed().await;
    }
    let job = job(&server, id).await;
    assert_eq!(job.status, LiveStatus::Stopped, "{job:?}");
    assert_eq!(job.counts.suspect, 3, "{job:?}");
    assert!(job.stop_reason.unwrap().contains("1, 2, 3"));
    let suspects = answers(&server, id, 0).await;
    assert!(suspects.iter().all(|answer| answer.state == TargetState::Suspect), "{suspects:?}");
    counts(&server, id).await;
}

/// The new worker may fetch its config when the old one would have, so that nothing shows the restart.
#[tokio::test]
async fn agents_that_denylist_a_query_whose_answer_they_lost_stop_the_job() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 4).await;
    for agent in &mut agents {
        agent.agent_mut().set_killer(Some(Arc::new(|sql: &str| sql.contains("deadly"))));
    }
    let id = ask(&server, "SELECT 'deadly'").await.id;
    for agent in &mut agents {
        agent.distributed().await;
        server.clock.advance(RETRY_WINDOW);
        agent.distributed().await;
    }
    let job = job(&server, id).await;
    assert_eq!(job.status, LiveStatus::Stopped, "{job:?}");
    assert_eq!((job.counts.suspect, job.counts.denylisted), (3, 0), "{job:?}");
    let suspects = answers(&server, id, 0).await;
    assert!(suspects.iter().all(|answer| answer.state == TargetState::Suspect), "{suspects:?}");
    assert!(suspects[0].error.as_deref().unwrap().contains("denylisted"), "{suspects:?}");
    assert_eq!(server.metric("muster_live_suspects_total").await, 3.0);
    counts(&server, id).await;
}

/// What was denylisted before the live query was made, another query with the same SQL is to blame for.
#[tokio::test]
async fn a_worker_that_has_run_since_before_the_live_query_was_not_stopped_by_it() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let agent = &agents[0];
    let old = json!([{ "pid": "7", "start_time": "1000", "now": "900000" }]);
    let new = json!([{ "pid": "8", "start_time": "899999", "now": "900000" }]);
    let cases = [
        (Some(old), TargetState::Denylisted),
        (Some(new), TargetState::Suspect),
        (Some(json!([])), TargetState::Suspect),
        (None, TargetState::Suspect),
    ];
    for (number, (worker, state)) in (0..).zip(cases) {
        let id = ask(&server, &format!("SELECT {number}")).await.id;
        let (query, asked) = (format!("fleet_distributed_query_{id}"), format!("fleet_worker_query_{id}"));
        let read = async || {
            let body = json!({ "node_key": agent.node_key() }).to_string();
            let exchange = agent.raw(AgentEndpoint::DistributedRead, body, &[]).await;
            let queries = exchange.verdict.value().unwrap()["queries"].clone();
            queries.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(read().await, std::slice::from_ref(&query));
        server.clock.advance(RETRY_WINDOW);
        assert_eq!(read().await, [query.clone(), asked.clone()], "once its answer was lost");
        let mut body = json!({
            "node_key": agent.node_key(),
            "queries": { &query: [] },
            "statuses": { &query: 1 },
            "messages": { &query: "distributed query is denylisted" },
        });
        if let Some(worker) = worker {
            body["queries"][&asked] = worker;
            body["statuses"][&asked] = 0.into();
        }
        assert!(agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await.verdict.is_success());
        assert_eq!(answers(&server, id, 0).await[0].state, state, "case {number}");
    }
}

#[tokio::test]
async fn a_host_that_never_answers_is_asked_twice_and_lost() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    let read = json!({ "node_key": agents[0].node_key() }).to_string();
    let mut given = 0;
    for _ in 0..6 {
        let exchange = agents[0].raw(AgentEndpoint::DistributedRead, read.clone(), &[]).await;
        given += usize::from(!exchange.verdict.value().unwrap()["queries"].as_object().unwrap().is_empty());
        server.clock.advance(RETRY_WINDOW);
    }
    assert_eq!(given, 2);
    assert_eq!(counts(&server, id).await.lost, 1);
}

#[tokio::test]
async fn answers_beyond_the_caps_are_cut_and_counted() {
    let server = TestServer::with(|config| {
        config.live.max_answer = Bytes::kib(1);
        config.live.max_results = Bytes::kib(3);
    })
    .await;
    let mut agents = hosts(&server, 8).await;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) SELECT i FROM n";
    let id = ask(&server, sql).await.id;
    for agent in &mut agents {
        let round = agent.distributed().await;
        assert!(round.write.unwrap().verdict.is_success());
    }
    let of = counts(&server, id).await;
    assert_eq!((of.answered, of.truncated), (8, 8));
    let kept = answers(&server, id, 0).await;
    assert_eq!(kept.len(), 8, "everybody is accounted for, with or without rows");
    assert!(kept.iter().all(|answer| answer.truncated && answer.rows_sent == Some(500)));
    assert!(kept[0].rows.len() > 10 && kept[7].rows.is_empty());
}

/// As large as an agent can make it, a write is taken off its hands, and what was in it is accounted for.
#[tokio::test]
async fn a_write_that_is_too_large_is_taken_and_its_queries_fail() {
    let server = TestServer::with(|config| config.osquery.max_distributed_write_body = Bytes::kib(64)).await;
    let mut agents = hosts(&server, 2).await;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n";
    let (large, small) = (ask(&server, sql).await.id, ask(&server, "SELECT 1").await.id);
    // Together they are thrown away; then each is asked alone, and one of them can be told.
    for _ in 0..3 {
        for agent in &mut agents {
            if let Some(write) = agent.distributed().await.write {
                assert!(write.verdict.is_success(), "{write:?}");
            }
            assert!(agent.agent().unsent_live_results().is_empty(), "the agent keeps nothing");
        }
    }
    assert_eq!(counts(&server, small).await.answered, 2);
    assert_eq!(counts(&server, large).await.failed, 2);
    let failed = &answers(&server, large, 0).await[0];
    assert!(failed.error.as_deref().unwrap().contains("max_distributed_write_body"), "{failed:?}");
    assert_eq!(job(&server, large).await.status, LiveStatus::Complete);
    // Whoever shows no key, or one that nobody has, is told.
    let body = format!("{{\"queries\":{{\"a\":[{}{{}}]}}}}", "{},".repeat(30_000));
    let strip = [("Authorization", "none")];
    let unknown = agents[0].raw(AgentEndpoint::DistributedWrite, body.clone(), &strip).await;
    assert_refused(&unknown, "without a key");
    let body = body.replacen('{', "{\"node_key\":\"made-up\",", 1);
    let unknown = agents[0].raw(AgentEndpoint::DistributedWrite, body, &strip).await;
    assert!(object(&unknown)["node_invalid"].as_bool().unwrap(), "{unknown:?}");
}

/// fleetd-chrome fails without `discovery`, and says of each column what it could not find out.
#[tokio::test]
async fn an_agent_on_chromeos_answers_live_queries() {
    let server = TestServer::start().await;
    let body = json!({
        "enroll_secret": ENROLL_SECRET,
        "host_details": {
            "os_version": { "name": "Chrome OS", "major": "103", "minor": "0", "patch": "5060", "build": "14816", "platform": "chrome" },
            "osquery_info": { "version": "fleetd-chrome-1.3.1" },
            "system_info": { "uuid": "7A5C0001", "hostname": "Chromebook", "hardware_serial": "7A5C0001" },
        },
        "host_identifier": "7A5C0001",
    });
    let agent = server.agent(1);
    let post = async |endpoint, body: serde_json::Value| {
        let exchange = agent.raw(endpoint, body.to_string(), &[]).await;
        assert!(exchange.verdict.is_success(), "{exchange:?}");
        object(&exchange)
    };
    let key = post(AgentEndpoint::Enroll, body).await["node_key"].clone();
    let labels = "SELECT count(*) FROM label_members";
    assert_eq!(server.number(labels), 1, "All Hosts, and not All Linux");
    let read = async || {
        let asked = post(AgentEndpoint::DistributedRead, json!({ "node_key": key })).await;
        assert!(asked["discovery"].is_object(), "{asked:?}");
        asked["queries"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let details = read().await;
    assert!(details.iter().any(|name| name == "fleet_detail_query_os_version"), "{details:?}");
    let id = ask(&server, "SELECT ssid FROM network").await.id;
    let names = read().await;
    assert_eq!(names, [format!("fleet_distributed_query_{id}")]);
    let (queries, statuses) = (json!({ &names[0]: [{ "ssid": "" }] }), json!({ &names[0]: 1 }));
    let messages = json!({ &names[0]: [{ "column": "ssid", "error_message": "permission denied" }] });
    let body = json!({ "queries": queries, "statuses": statuses, "messages": messages, "node_key": key });
    post(AgentEndpoint::DistributedWrite, body).await;
    let answer = &answers(&server, id, 0).await[0];
    assert_eq!((answer.state, answer.error.as_deref()), (TargetState::Failed, Some("ssid: permission denied")));
}
