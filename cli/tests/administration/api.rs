use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::administration::SCHEDULE;
use crate::console::Console;
use crate::fleetctl::Run;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_of_ones_own_are_sent_with_the_session() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let json = |words: &[&str]| serde_json::from_str::<Value>(&console.good(&[&["api"], words].concat())).unwrap();

    assert_eq!(json(&["me"])["user"]["email"], "admin@example.com");
    assert_eq!(json(&["/api/v1/fleet/me"]), json(&["me"]));
    let found = json(&["queries", "-X", "GET", "-F", "query=els"]);
    assert_eq!(found["queries"][0]["name"], "elsewhere", "{found}");
    let made = json(&["labels", "-F", "name=servers", "-F", "query=SELECT 1 AS \"a b\""]);
    assert_eq!(made["label"]["query"], "SELECT 1 AS \"a b\"", "{made}");
    let id = made["label"]["id"].to_string();
    assert_eq!(
        json(&[&format!("labels/{id}"), "-X", "patch", "-F", "description=of mine"])["label"]["description"],
        "of mine"
    );
    assert_eq!(console.good(&["api", &format!("labels/id/{id}"), "-X", "DELETE"]).trim(), "{}");
    let head = console.good(&["api", "me", "--include"]);
    assert!(head.starts_with("200 OK\n") && head.contains("\ncontent-type: application/json"), "{head}");
    assert_eq!(console.fleetctl.run(&["api", "/healthz"]).code, Some(0));
    let traced = console.fleetctl.run(&["api", "me", "--debug"]).stderr;
    assert!(traced.contains("/api/v1/fleet/me: 200 OK"), "{traced}");

    let mut child = console.fleetctl.command(&["api", "-X", "PATCH", "config", "--body", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"org_info\": {\"org_name\": \"Changed\"}}").unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(console.good(&["get", "config"]).contains("org_name: Changed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_exit_code_follows_the_status_and_the_body_is_printed() {
    let console = Console::set_up().await;
    let missing = console.fleetctl.run(&["api", "queries/77"]);
    assert_eq!(missing.code, Some(4), "{missing:?}");
    let body: Value = serde_json::from_str(&missing.stdout).unwrap();
    assert_eq!(body["message"], "Resource Not Found", "{body}");
    assert_eq!(missing.stderr, "Error: the server responded with 404 Not Found\n");
    assert_eq!(console.fleetctl.run(&["api", "queries", "-F", "name="]).code, Some(4));

    let elsewhere = console.bad(&["api", "https://other.example.com/api"]);
    assert!(elsewhere.stderr.contains("is an address; name a path of the server"), "{elsewhere:?}");
    console.good(&["config", "set", "--context", "wrong", "--address", &console.url, "--token", "made-up"]);
    console.good(&["config", "set", "--context", "wrong", "--rootca", "server/tls/server.crt"]);
    let refused = console.fleetctl.run(&["api", "me", "--context", "wrong"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(
        refused.stderr.starts_with("Token invalid or session expired. Please log in with: fleetctl login\n"),
        "{refused:?}"
    );
    console.good(&["config", "set", "--context", "nobody", "--address", "http://127.0.0.1:1", "--token", "made-up"]);
    let nobody = console.fleetctl.run(&["api", "me", "--context", "nobody"]);
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_values_of_a_context_are_printed_for_scripts() {
    let console = Console::set_up().await;
    let token = console.good(&["config", "get", "token", "--plain"]);
    assert_eq!(console.good(&["config", "get", "token"]), format!("  default.token => {token}"));
    assert_eq!(console.good(&["config", "get", "address", "--plain"]), format!("{}\n", console.url));
    let none = console.bad(&["config", "get", "url-prefix", "--plain"]);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "Error: default.url-prefix is not set\n"));
}
