//! The debug API: who may ask, what each item answers, and that no secret is among it.

mod access;
mod activity;
mod database;
mod items;
mod logs;
mod profiles;
mod redis;
mod secrets;

use std::process::Stdio;
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

use crate::support::{Answer, Rest, ServerProcess, ServerSetup, TestServer};

/// A GET below `/debug/`.
pub async fn get(rest: &Rest, item: &str) -> Response {
    rest.getting(&format!("/debug/{item}")).send().await.unwrap()
}

/// The reason in a refusal, whose status must be this one.
pub async fn refusal(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status, "{response:?}");
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["error"].as_str().unwrap().to_owned()
}

/// The items that the catalog lists, by their paths.
pub async fn items(rest: &Rest) -> Vec<String> {
    let catalog: serde_json::Value = get(rest, "").await.json().await.unwrap();
    let items = catalog["items"].as_array().unwrap().iter();
    items.map(|item| item["path"].as_str().unwrap().to_owned()).collect()
}

/// An item with the parameters that make its answer come soon.
pub fn quick(item: &str) -> String {
    let takes_time = matches!(item, "pprof/profile" | "flamegraph" | "pprof/trace");
    if takes_time { format!("{item}?seconds=1") } else { item.to_owned() }
}

/// Go's `pprof` on a file, if Go is installed.
pub fn go_top(file: &std::path::Path) -> Option<String> {
    let go = ["go", "/usr/local/go/bin/go"].into_iter().find(|go| {
        let version =
            std::process::Command::new(go).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    })?;
    let home = file.parent().unwrap();
    let mut command = std::process::Command::new(go);
    command
        .args(["tool", "pprof", "-top", "-nodecount=500"])
        .arg(file)
        .env("HOME", home)
        .env("GOCACHE", home.join("go"));
    let output = command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// How long something may take to show on a busy machine.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// A server of its own process on SQLite, which is set up, and the administrator.
async fn started(flags: &[&str]) -> (ServerSetup, ServerProcess, Rest) {
    let setup = ServerSetup::on_sqlite(flags);
    let process = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    (setup, process, rest)
}

/// Lets some time pass on a busy machine: a user may ask `/debug` only so often.
async fn pass_time(rest: &Rest) {
    for _ in 0..25 {
        rest.get("/healthz").await;
    }
}

/// Sends a request with an id.
async fn send_as(id: &str, request: reqwest::RequestBuilder) -> Answer {
    let response = request.header("X-Request-Id", id).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// Items about the database and Redis.
pub const ITEMS: [&str; 9] = [
    "db/locks",
    "db/innodb-status",
    "db/process-list",
    "db/statements",
    "db/settings",
    "db/tables",
    "redis/info",
    "redis/slowlog",
    "redis/streams",
];

/// What the administrator is shown.
pub async fn shown(server: &TestServer, item: &str) -> Answer {
    server.rest.get(&format!("/debug/{item}")).await
}

/// The rows of a list that must be shown.
pub async fn rows(server: &TestServer, item: &str) -> Vec<Value> {
    shown(server, item).await.read()
}

/// Fails if any item shows one of these texts.
pub async fn assert_hidden(server: &TestServer, secrets: &[&str]) {
    for item in ITEMS {
        let text = shown(server, item).await.text.to_lowercase();
        for secret in secrets {
            assert!(!text.contains(&secret.to_lowercase()), "{item} shows {secret}: {text}");
        }
    }
}
