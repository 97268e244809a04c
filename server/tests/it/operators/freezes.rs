//! Servers that refuse changes at some times.

use std::time::Duration;

use muster::config::{Config, Freeze, Sources, load};
use serde_json::{Value, json};

use super::closed::{assert_agents_go_on, assert_all_refused};
use crate::pages::admin;
use crate::rest::operations::{self, Least, furnished};
use crate::support::{Rest, TestServer, Visitor};

const HOUR: Duration = Duration::from_secs(3600);

/// It is noon on Thursday 2026-01-15 (UTC) when a test begins.
const RELEASE: &str = r#"{"name": "release", "from": "thu 08:00", "to": "fri 19:00", "time_zone": "Europe/Berlin"}"#;

fn freeze(windows: &str, more: &[&str]) -> Freeze {
    let flags = [("freeze_windows", windows)].into_iter().chain(more.iter().map(|name| (*name, "true")));
    let flags = flags.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let Config { freeze, .. } = load(&Sources { flags, ..Sources::default() }).unwrap().config;
    freeze
}

/// The server that comes after the furnished one, with a change freeze.
async fn frozen(freeze: Freeze) -> (TestServer, TestServer) {
    let mut first = furnished().await;
    first.stop().await;
    let server = TestServer::beside_with(&first, |config| config.freeze = freeze).await;
    (first, server)
}

fn query(name: &str) -> Value {
    json!({ "name": name, "query": "SELECT 1" })
}

#[tokio::test]
async fn every_change_is_refused_and_recorded_until_the_window_ends() {
    let (_first, server) = frozen(freeze(RELEASE, &[])).await;
    let reason = "until 2026-01-16 19:00 Europe/Berlin, because of the change freeze \"release\": wait";
    assert_all_refused(&server, reason).await;
    assert_agents_go_on(&server).await;
    // In Berlin it is an hour later.
    server.clock.advance(30 * HOUR - Duration::from_secs(1));
    assert_eq!(server.rest.post("queries", &query("a")).await.status, 403);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.rest.post("queries", &query("a")).await.status, 200);
    for _ in 0..6 {
        // The session goes on, because it is used.
        server.clock.advance(24 * HOUR);
        assert_eq!(server.rest.get("queries").await.status, 200);
    }
    assert_eq!(server.rest.post("queries", &query("b")).await.status, 403, "a week later");
}

#[tokio::test]
async fn administrators_pass_with_a_reason_that_is_kept() {
    let (_first, server) = frozen(freeze(RELEASE, &["freeze_allow_override"])).await;
    let overrides = || server.number("SELECT count(*) FROM activities WHERE kind = 'overrode_freeze'");
    let refused = server.rest.post("queries", &query("a")).await;
    assert!(refused.problems()[0].contains("Muster-Freeze-Override"), "{}", refused.text);
    let maintainer = server.user("maintainer").overriding("because");
    assert_eq!(maintainer.post("queries", &query("a")).await.status, 403);
    for bad in ["", " ", "a\tb", &"x".repeat(301)] {
        let answer = server.rest.overriding(bad).post("queries", &query("a")).await;
        assert_eq!(answer.status, 422, "{bad:?}: {}", answer.text);
        assert!(answer.problems()[0].starts_with("Muster-Freeze-Override: expects the reason"), "{}", answer.text);
    }
    assert_eq!((overrides(), server.number("SELECT count(*) FROM queries WHERE name = 'a'")), (0, 0));

    let admin = server.rest.overriding("hosts swap, Prüfung 7");
    assert_eq!(admin.get("queries").await.status, 200);
    assert_eq!(overrides(), 0, "reading passes nothing");
    assert_eq!(admin.post("queries", &query("a")).await.status, 200);
    assert_eq!(overrides(), 1);
    let details = server.database().text("SELECT details FROM activities WHERE kind = 'overrode_freeze'");
    let details: Value = serde_json::from_str(&details).unwrap();
    let expected = json!({
        "reason": "hosts swap, Prüfung 7", "operation": "POST /api/v1/fleet/queries", "window": "release",
        "until": "2026-01-16T18:00:00Z",
    });
    assert_eq!(details, expected);
    // The next request is refused again: nothing but the header passes it.
    assert_eq!(server.rest.post("queries", &query("b")).await.status, 403);

    // Outside of a window there is nothing to pass.
    server.clock.advance(30 * HOUR);
    assert_eq!(server.rest.overriding("").post("queries", &query("b")).await.status, 200);
    assert_eq!(overrides(), 1);
}

#[tokio::test]
async fn every_operation_can_be_done_with_a_reason() {
    let (_first, server) = frozen(freeze(RELEASE, &["freeze_allow_override"])).await;
    let admin = server.user("admin").overriding("of the matrix");
    let mut changed = 0;
    for operation in operations::all(&server).await {
        let answer = admin.send(operation.method, operation.path, operation.body.as_ref()).await;
        assert_eq!(answer.status, 200, "{operation:?}: {}", answer.text);
        let asks = operation.method != "GET" || operation.route == "/queries/run";
        changed += i64::from(asks && operation.least > Least::Nobody);
    }
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'overrode_freeze'"), changed);
}

#[tokio::test]
async fn no_reason_passes_where_the_settings_do_not_allow_it() {
    let (_first, server) = frozen(freeze(RELEASE, &[])).await;
    let answer = server.rest.overriding("because").post("queries", &query("a")).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert!(answer.problems()[0].contains("freeze.windows"), "{}", answer.text);
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'overrode_freeze'"), 0);
}

#[tokio::test]
async fn live_queries_go_on_where_a_window_allows_them() {
    let window = RELEASE.replace('}', r#", "live_queries": "allow"}"#);
    let (_first, server) = frozen(freeze(&window, &[])).await;
    let ask = json!({ "query": "SELECT 1", "targets": { "all": true } });
    let live = server.rest.post("live_queries", &ask).await;
    assert_eq!(live.status, 200, "{}", live.text);
    let id = live.json()["live_query"]["id"].to_string();
    assert_eq!(server.rest.post(&format!("live_queries/{id}/rate"), &json!({ "rate": 5 })).await.status, 200);
    assert_eq!(server.rest.post("queries", &query("a")).await.status, 403);
}

#[tokio::test]
async fn a_live_query_can_be_stopped_and_not_hurried_during_a_freeze() {
    let (_first, server) = frozen(freeze(&RELEASE.replace("thu 08:00", "thu 14:00"), &[])).await;
    let ask = json!({ "query": "SELECT 1", "targets": { "all": true } });
    let id = server.rest.post("live_queries", &ask).await.json()["live_query"]["id"].to_string();
    server.clock.advance(HOUR);
    let change =
        async |what: &str| server.rest.post(&format!("live_queries/{id}/{what}"), &json!({ "rate": 5 })).await.status;
    assert_eq!([change("rate").await, change("resume").await], [403, 403]);
    assert_eq!([change("pause").await, change("cancel").await], [200, 200]);
}

#[tokio::test]
async fn a_new_server_is_not_set_up_during_a_freeze() {
    let server = TestServer::empty(|config| config.freeze = freeze(RELEASE, &[])).await;
    let answer = server.rest.anonymous().post("/api/v1/setup", &Rest::set_up_body()).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(server.number("SELECT count(*) FROM users"), 0);
}

#[tokio::test]
async fn pages_and_clients_are_told_what_is_frozen() {
    let (_first, server) = frozen(freeze(RELEASE, &[])).await;
    let banner = "Change freeze “<bdi>release</bdi>”: nothing can be changed until 2026-01-16 19:00 Europe/Berlin. \
                  Nor can live queries be started.";
    let observer = Visitor::of(&server.address, &server.user("observer"));
    for visitor in [admin(&server), observer] {
        let page = visitor.get("/queries/saved").await.text;
        assert!(page.contains(banner) && !page.contains("queries/new"), "{page}");
    }
    let reason = "until 2026-01-16 19:00 Europe/Berlin, because of the change freeze";
    let offers = [
        ("/live", "Run query", "no live query can be started"),
        ("/users", "Add user", "nothing can be changed"),
        ("/hosts", "Run a live query", "no live query can be started"),
        ("/password", "Change password", "nothing can be changed"),
        ("/queries/new", "Save query", "nothing can be changed"),
    ];
    for (path, offer, why) in offers {
        let page = admin(&server).get(path).await.text;
        assert!(page.contains(&format!("disabled>{offer}</button>")) && page.contains(reason), "{path}: {page}");
        assert!(page.contains(why) && !page.contains(&format!("\">{offer}</button>")), "{path}: {page}");
    }
    assert!(!admin(&server).get("/users").await.text.contains("/delete\""));
    let denied = server.rest.post("approvals/aaaaaaaaaaaa/grant", &json!({})).await;
    assert_eq!(denied.status, 403);
    assert!(denied.problems()[0].contains("no SQL can be approved or denied until"), "{}", denied.text);
    let version = server.rest.get("version").await.json();
    let expected = json!({ "window": "release", "until": "2026-01-16T18:00:00Z", "live_queries": true });
    assert_eq!(version["freeze"], expected);
    assert!(server.rest.anonymous().get("/version").await.json().get("freeze").is_none());
    server.clock.advance(30 * HOUR);
    assert!(server.rest.get("version").await.json().get("freeze").is_none());
    let page = admin(&server).get("/queries/saved").await.text;
    assert!(!page.contains("Change freeze") && page.contains("queries/new"), "{page}");
    for (path, offer, _) in offers {
        let page = admin(&server).get(path).await.text;
        assert!(page.contains(&format!("{offer}</button>")) && !page.contains(" disabled>"), "{path}: {page}");
    }
}
