//! Another program opens the SQLite file while the server uses it, as operators do for a backup. Whatever it does, what
//! the server has acknowledged outlives a `kill -9`.

use std::process::Command;

use serde_json::json;

use crate::support::{Rest, ServerSetup};

/// What operators do with the file of a running server.
const USES: &[&[&str]] = &[
    &[".backup copy.db"],
    &["PRAGMA wal_checkpoint(TRUNCATE)"],
    &["SELECT count(*) FROM hosts"],
    &[".recover"],
    &["PRAGMA integrity_check"],
];

fn sqlite3(setup: &ServerSetup, words: &[&str]) -> String {
    let output = Command::new("sqlite3").arg("muster.db").args(words).current_dir(setup.folder()).output().unwrap();
    // The sqlite3 of Debian 12 (3.40) gives `.recover` up after it has opened the file.
    assert!(output.status.success() || words == [".recover"], "sqlite3 {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_second_process_that_opens_and_closes_the_file_costs_no_acknowledged_change() {
    let setup = ServerSetup::on_sqlite(&[]);
    let mut server = setup.start().await;
    let mut rest = Rest::new(&setup.address()).set_up().await;
    let mut agents = Vec::new();
    for (round, words) in USES.iter().enumerate() {
        // On a file that exists, which is when a server could open it behind SQLite's back.
        server.kill();
        server = setup.start().await;
        rest = Rest::new(&setup.address()).with_token(rest.token());
        sqlite3(&setup, words);
        let query = json!({ "name": format!("round {round}"), "query": "SELECT 1" });
        rest.apply(&[json!({ "kind": "query", "spec": query })]).await;
        agents.push(setup.address().enrolled(u32::try_from(round).unwrap()).await);
        sqlite3(&setup, words);
    }
    server.kill();
    assert_eq!(sqlite3(&setup, &["PRAGMA integrity_check"]), "ok\n");
    let _server = setup.start().await;
    let rest = Rest::new(&setup.address()).with_token(rest.token());
    for round in 0..USES.len() {
        let answer = rest.get(&format!("spec/queries/round%20{round}")).await;
        assert_eq!(answer.status, 200, "the query of round {round} is lost: {}", answer.text);
    }
    for agent in &mut agents {
        assert!(agent.config().await.verdict.is_success(), "a node key is lost");
    }
}
