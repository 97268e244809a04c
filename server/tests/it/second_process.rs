//! Another program opens the SQLite file while the server uses it, as operators do for a backup. Whatever it does, what
//! the server has acknowledged outlives a `kill -9`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::{KeptLines, Load, Rest, ServerSetup, count, deliver_all, eventually};

/// What operators do with the file of a running server.
const USES: &[&[&str]] = &[
    &[".backup copy.db"],
    &["PRAGMA wal_checkpoint(TRUNCATE)"],
    &["SELECT count(*) FROM hosts"],
    &[".recover"],
    &["PRAGMA integrity_check"],
];

/// How often the second process opens and closes the file in a round, while the server writes.
const TIMES: usize = 3;

fn sqlite3(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new("sqlite3");
    let output = command.args(["-cmd", ".timeout 5000", "muster.db"]).args(words).current_dir(folder).output().unwrap();
    // The sqlite3 of Debian 12 (3.40) gives `.recover` up after it has opened the file.
    assert!(output.status.success() || words == [".recover"], "sqlite3 {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_that_opens_and_closes_the_file_costs_no_acknowledged_change() {
    let rounds = count(USES.len(), 100);
    let setup = ServerSetup::on_sqlite(&[]);
    let mut server = setup.start().await;
    let mut rest = Rest::new(&setup.address()).set_up().await;
    let mut agents = Vec::new();
    let load = Load::start((1000..1005).map(|index| setup.address().agent(index)), 100);
    for round in 0..rounds {
        // On a file that exists, which is when a server could open it behind SQLite's back.
        server.kill();
        server = setup.start().await;
        rest = Rest::new(&setup.address()).with_token(rest.token());
        let (folder, words) = (setup.folder().to_owned(), USES[round % USES.len()]);
        let uses = tokio::task::spawn_blocking(move || (0..TIMES).for_each(|_| drop(sqlite3(&folder, words))));
        let done = load.rounds();
        for part in 0..TIMES {
            let query = json!({ "name": format!("round {round} part {part}"), "query": "SELECT 1" });
            rest.apply(&[json!({ "kind": "query", "spec": query })]).await;
        }
        agents.push(setup.address().enrolled(u32::try_from(round).unwrap()).await);
        uses.await.unwrap();
        let patience = Duration::from_secs(30);
        eventually("agents deliver lines", patience, async || (load.rounds() > done + 2).then_some(())).await;
    }
    server.kill();
    assert_eq!(sqlite3(setup.folder(), &["PRAGMA integrity_check"]), "ok\n");
    let _server = setup.start().await;
    let rest = Rest::new(&setup.address()).with_token(rest.token());
    for round in 0..rounds {
        for part in 0..TIMES {
            let answer = rest.get(&format!("spec/queries/round%20{round}%20part%20{part}")).await;
            assert_eq!(answer.status, 200, "part {part} of round {round} is lost: {}", answer.text);
        }
    }
    for agent in &mut agents {
        assert!(agent.config().await.verdict.is_success(), "a node key is lost");
    }
    let (mut agents, report, ledger) = load.finish().await;
    assert_eq!(report.node_invalid, 0, "{report:?}");
    deliver_all(&mut agents, Duration::from_secs(30)).await;
    let acknowledged = ledger.results();
    assert!(acknowledged.total() > 100, "only {} lines", acknowledged.total());
    assert_eq!(acknowledged.missing_in(&KeptLines::read(&setup.results())), [""; 0], "acknowledged lines are lost");
}
