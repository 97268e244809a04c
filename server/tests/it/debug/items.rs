use muster_api::rest::debug::{DebugNodes, MigrationState, NodeFigures, NodeRuntime, NodeThreads};

use super::get;
use crate::support::{Rest, ServerSetup, TestServer};

async fn read<T: serde::de::DeserializeOwned>(rest: &Rest, item: &str) -> T {
    let response = get(rest, item).await;
    assert_eq!(response.status(), 200, "{item}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_process_tells_what_it_is_and_uses() {
    let setup = ServerSetup::new(&["server_workers=2"]);
    let process = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let runtime: NodeRuntime = read(&rest, "runtime").await;
    assert!(runtime.node.starts_with(&format!("{}-", process.pid())), "{runtime:?}");
    assert_eq!((runtime.version.as_str(), runtime.workers), (muster::VERSION, 2));
    assert!(runtime.features.contains(&"heap-profiles".to_owned()), "{runtime:?}");
    let memory = &runtime.memory;
    assert!(memory.allocated > 1 << 20 && memory.active >= memory.allocated && memory.process_resident > 1 << 20);
    assert!(runtime.open_files > 5 && runtime.max_open_files > runtime.open_files && runtime.cpus > 0, "{runtime:?}");

    let NodeThreads { threads, left_out, .. } = read(&rest, "threads").await;
    assert_eq!(left_out, 0);
    assert!(threads.iter().filter(|thread| thread.name.starts_with("actix")).count() >= 2, "{threads:#?}");
    assert!(threads.iter().any(|thread| thread.waits_in.is_some()), "{threads:#?}");
    assert!(threads.iter().any(|thread| thread.state == "running"), "the one that answers: {threads:#?}");

    let text = get(&rest, "pprof/cmdline").await.text().await.unwrap();
    let words: Vec<&str> = text.split('\0').collect();
    let named = setup.words();
    assert_eq!(words.len(), named.len());
    assert_eq!(words[..3], [named[0].as_str(), "serve", "--until-stdin-closes"]);
}

#[tokio::test]
async fn a_node_tells_of_its_database_the_other_nodes_and_its_memory() {
    let server = TestServer::start().await;
    server.run_tasks().await;
    server.enrolled(1).await;
    let migrations: MigrationState = read(&server.rest, "migrations").await;
    assert_eq!(migrations, MigrationState { status_code: MigrationState::ALL, ..MigrationState::default() });
    let DebugNodes { nodes } = read(&server.rest, "nodes").await;
    assert!(nodes.iter().any(|node| node.is_this && node.version.as_deref() == Some(muster::VERSION)), "{nodes:?}");
    let NodeFigures { figures } = read(&server.rest, "state").await;
    let value =
        |name: &str| figures.iter().find(|figure| figure.name == name).unwrap_or_else(|| panic!("{name}")).value;
    assert_eq!((value("host directory"), value("open live queries"), value("busy threads: debug")), (1.0, 0.0, 1.0));
    assert!(figures.iter().all(|figure| figure.bound.is_none_or(|bound| figure.value <= bound)), "{figures:#?}");
    let metrics = get(&server.rest, "metrics").await.text().await.unwrap();
    assert!(metrics.contains("muster_build_info{"));
}

/// As Fleet counts: 1 for a database that lacks migrations, 3 for one that has more.
#[tokio::test]
async fn migrations_that_are_missing_or_unknown_are_named() {
    let server = TestServer::start().await;
    let newest = "SELECT max(version) FROM seaql_migrations";
    let (database, name) = (server.database(), server.database().text(newest));
    database.execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9000_of_a_newer_version', 0)");
    let migrations: MigrationState = read(&server.rest, "migrations").await;
    assert_eq!((migrations.status_code, migrations.unknown_table), (MigrationState::UNKNOWN, vec![9000]));
    database.execute(&format!("DELETE FROM seaql_migrations WHERE version = '{name}'"));
    let migrations: MigrationState = read(&server.rest, "migrations").await;
    assert_eq!((migrations.status_code, migrations.missing), (MigrationState::SOME, vec![name]));
}
