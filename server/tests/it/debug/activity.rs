use muster_api::rest::debug::{RequestUnderWay, RequestsUnderWay, TraceFile, Waits};
use serde_json::{Value, json};

use super::{SHOWN_WITHIN, pass_time, send_as, started};
use crate::support::{Database, Rest, TestServer, eventually};

async fn shown(rest: &Rest) -> RequestsUnderWay {
    rest.get("/debug/requests").await.read()
}

fn waits_for<'a>(now: &'a RequestsUnderWay, id: &str) -> Option<&'a RequestUnderWay> {
    now.requests.iter().find(|request| request.id == id && request.waits_for.is_some())
}

/// A change waits for the database, another one for its turn, a list for a thread, and a periodic task for the database.
#[tokio::test]
async fn what_a_node_waits_for_shows_while_its_database_is_held() {
    let (setup, _process, rest) = started(&["server_operator_threads=1", "sqlite_busy_timeout=30s"]).await;
    let database = Database::Sqlite(rusqlite::Connection::open(setup.folder().join("muster.db")).unwrap());
    database.hold();
    let label = |name: &str| json!({ "name": name, "query": "SELECT 1" });
    let post = |path: &str, body: &Value| rest.posting(path, body).bearer_auth(rest.token());
    let (first, second) = (label("first"), label("second"));
    let held = async {
        tokio::join!(send_as("held-change", post("labels", &first)), async {
            eventually("the change is at work", SHOWN_WITHIN, async || {
                pass_time(&rest).await;
                let now = shown(&rest).await;
                let change = waits_for(&now, "held-change")?;
                change.waits_for.as_ref()?.starts_with("database").then_some(())
            })
            .await;
            tokio::join!(send_as("second-change", post("labels", &second)), send_as("list", rest.getting("packs")))
        })
    };
    let looks = async {
        let now = eventually("all wait", SHOWN_WITHIN, async || {
            pass_time(&rest).await;
            let now = shown(&rest).await;
            let all_wait = ["held-change", "second-change", "list"].iter().all(|id| waits_for(&now, id).is_some());
            let has_task = now.tasks.iter().any(|task| task.state == "running" && task.waits_for.is_some());
            (all_wait && has_task).then_some(now)
        })
        .await;
        let wait = |id: &str| waits_for(&now, id).unwrap();
        let change = wait("held-change");
        assert_eq!((change.kind.as_str(), change.name.as_str()), ("operator", "POST /api/v1/fleet/labels"));
        assert!(change.waits_seconds.unwrap() <= change.seconds && change.since <= now.at, "{change:?}");
        assert_eq!(wait("second-change").waits_for.as_deref(), Some("change queue"));
        assert_eq!(wait("list").waits_for.as_deref(), Some("pool thread"));
        let task = now.tasks.iter().find(|task| task.waits_for.is_some()).unwrap();
        assert!(task.waits_for.as_ref().unwrap().starts_with("database"), "{task:?}");
        assert!(now.tasks.iter().any(|task| task.state == "idle" && task.last_outcome.as_deref() == Some("done")));
        let own = now.requests.iter().find(|request| request.kind == "debug").unwrap();
        assert_eq!((own.name.as_str(), &own.waits_for), ("GET /debug/requests", &None));

        let waits: Waits = rest.get("/debug/waits").await.read();
        let lock = waits.waits.iter().find(|wait| wait.waits_for == "database lock").unwrap();
        assert!(lock.waiting_now > 0 && lock.longest_now_seconds.is_some(), "{lock:?}");
        let operators = waits.pools.iter().find(|pool| pool.name == "operators").unwrap();
        assert_eq!((operators.threads, operators.busy, operators.waiting), (1, 1, 2));
        let writers = waits.connections.iter().find(|pool| pool.pool == "write").unwrap();
        assert_eq!((writers.max, writers.in_use), (1, 1));

        let text = rest.get("/debug/pprof/goroutine").await.text;
        assert!(text.contains("POST /api/v1/fleet/labels  waits for database"), "{text}");
        let text = rest.get("/debug/pprof/block").await.text;
        assert!(text.contains("  database lock\n") && text.contains("     1 of 1           2  operators\n"), "{text}");
        database.release();
    };
    let ((changed, (second, list)), ()) = tokio::join!(held, looks);
    assert_eq!([changed.status, second.status, list.status], [200; 3], "{} {}", changed.text, second.text);
    assert_eq!(changed.headers["x-request-id"], "held-change");
    let waits: Waits = rest.get("/debug/waits").await.read();
    let lock = waits.waits.iter().find(|wait| wait.waits_for == "database lock").unwrap();
    assert!(lock.count > 0 && lock.total_seconds >= lock.max_seconds && lock.max_seconds > 0.0, "{lock:?}");
    let after = shown(&rest).await;
    assert!(!after.requests.iter().any(|request| request.id == "held-change"), "{after:?}");
}

#[tokio::test]
async fn a_trace_holds_requests_of_agents_and_their_waits_and_is_taken_alone() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    let trace = server.rest.get("/debug/pprof/trace?seconds=5");
    let agents = async {
        eventually("a trace is taken", SHOWN_WITHIN, async || {
            pass_time(&server.rest).await;
            let now = shown(&server.rest).await;
            now.requests.iter().any(|request| request.name == "GET /debug/pprof/trace").then_some(())
        })
        .await;
        let busy = server.rest.get("/debug/pprof/trace?seconds=1").await;
        assert_eq!(busy.status, 429, "{}", busy.text);
        assert!(busy.headers.contains_key("retry-after") && busy.json()["error"].is_string(), "{busy:?}");
        assert!(agent.read().await.verdict.is_success());
        agent.push_result_line(r#"{"line":1}"#);
        assert!(agent.flush_logs().await[0].verdict.is_success());
    };
    let (answer, ()) = tokio::join!(trace, agents);
    let trace: TraceFile = answer.read();
    let event = |name: &str, cat: &str| trace.events.iter().find(|event| event.name == name && event.cat == cat);
    event("get_distributed_queries", "agent").unwrap();
    let log = event("submit_logs", "agent").unwrap();
    let waits = trace.events.iter().filter(|event| event.cat == "wait" && event.args == log.args);
    let sink = waits.into_iter().find(|event| event.name == "log sink").unwrap();
    assert_eq!((sink.ph.as_str(), sink.tid), ("X", log.tid));
    assert!(log.ts <= sink.ts && sink.ts + sink.dur <= log.ts + log.dur, "{log:?} {sink:?}");
    assert_eq!((&trace.other["left_out"], &trace.other["seconds"]), (&json!(0), &json!(5)));
    for bad in ["0", "11", "x"] {
        let answer = server.rest.get(&format!("/debug/pprof/trace?seconds={bad}")).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
}
