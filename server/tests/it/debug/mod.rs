//! What admins ask of a node that is in trouble.

mod database;
mod redis;

use serde_json::Value;

use crate::support::{Answer, TestServer};

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
