//! The table guard, whatever way SQL for agents comes by.

mod approvals;
mod everywhere;
mod lacks;
mod limits;
mod rules;

use std::path::PathBuf;
use std::time::Duration;

use muster::config::Config;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{TestServer, eventually};

/// Time in which a server reads its files again.
const RELOADED: Duration = Duration::from_secs(20);

/// A guard in a file.
struct GuardFile {
    folder: TempDir,
}

impl GuardFile {
    fn new(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("guard.yml")
    }

    fn set(&self, config: &mut Config) {
        config.server.guard = Some(self.path());
    }
}

/// A guard that warns, with a rule about `curl` in its own mode.
fn rule(mode: &str, keys: &str) -> String {
    format!(
        "mode: warn\nrules:\n  - {{name: requests, reason: hosts send requests, tables: [curl], mode: {mode}, {keys}}}\n"
    )
}

/// Has the server read a guard that refuses a live query of this SQL, and waits until it does.
async fn enforce(server: &TestServer, file: &GuardFile, guard: &str, refused: &str) {
    file.write(guard);
    server.reload();
    let query = json!({ "name": "never saved", "query": refused });
    eventually("the server has read the guard", RELOADED, async || {
        let answer = server.rest.post("queries", &query).await;
        if answer.status == 200 {
            let id = answer.json()["query"]["id"].as_i64().unwrap();
            assert_eq!(server.rest.send("DELETE", &format!("queries/id/{id}"), None).await.status, 200);
        }
        (answer.status == 422).then_some(())
    })
    .await;
}
