//! Servers that take their documents from a folder alone.

mod folders;
mod nodes;
mod refused;
mod waiting;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::TestServer;

/// A little longer than contents have to stay the same.
const SETTLED: Duration = Duration::from_secs(3);

/// A folder of documents. The files of git lie in it, if there are some.
struct Folder {
    dir: TempDir,
}

impl Folder {
    /// One with a query, a label and a pack.
    fn new() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        folder.put("queries/uptime.yml", &query("uptime", "SELECT * FROM uptime"));
        folder.put("labels/docker.yml", "kind: label\nspec: {name: docker, query: SELECT 1 FROM apps}\n");
        folder.put(
            "packs/base.yml",
            "kind: pack\nspec:\n  name: base\n  targets: {labels: [docker, All Hosts]}\n  queries:\n  - {query: uptime, interval: 60}\n",
        );
        folder
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("fleet")
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }

    /// Checks out a commit, as far as git's files tell: one of this digit.
    fn commit(&self, digit: char) {
        self.put(".git/HEAD", &format!("{}\n", digit.to_string().repeat(40)));
    }

    /// A server that takes its documents from here.
    async fn server(&self) -> TestServer {
        let server = TestServer::with(|config| config.documents.folder = Some(self.path())).await;
        looked(&server).await;
        server
    }
}

/// The document of a query.
fn query(name: &str, sql: &str) -> String {
    format!("kind: query\nspec: {{name: {name}, query: {sql}}}\n")
}

/// Has a server look until what it finds has settled.
async fn looked(server: &TestServer) {
    server.run_tasks().await;
    server.clock.advance(SETTLED);
    server.run_tasks().await;
}

async fn status(server: &TestServer) -> Value {
    server.rest.get("documents/status").await.json()
}

/// The first reason why the folder is not applied; empty if there is none.
async fn problem(server: &TestServer) -> String {
    status(server).await["problem"]["reasons"][0].as_str().unwrap_or_default().to_owned()
}

/// The names of the saved queries, sorted.
async fn queries(server: &TestServer) -> Vec<String> {
    names(&server.rest.get("spec/queries").await.json()["specs"])
}

fn names(specs: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        specs.as_array().unwrap().iter().map(|spec| spec["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Changes what the server has beside its folder, as a server without the setting does.
async fn meddle(server: &TestServer, documents: &[Value]) {
    let mut other = TestServer::beside_with(server, |config| config.documents.folder = None).await;
    other.rest.apply(documents).await;
    other.stop().await;
}

/// Moves a folder away, and back when the answer is dropped.
struct Away<'a>(&'a Path, PathBuf);

impl<'a> Away<'a> {
    fn new(path: &'a Path) -> Self {
        let elsewhere = path.with_extension("away");
        fs::rename(path, &elsewhere).unwrap();
        Self(path, elsewhere)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        fs::rename(&self.1, self.0).unwrap();
    }
}
