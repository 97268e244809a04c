use std::time::Duration;

use muster::config::Config;
use muster_api::rest::debug::{DbLock, DbSettings};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::task::{block_in_place, spawn_blocking};

use super::{assert_hidden, rows, shown};
use crate::support::mariadb::{Mariadb, shared};
use crate::support::{ENROLL_SECRET, TestServer, eventually, on_mariadb};

/// How long the database may take to show what happens.
const SOON: Duration = Duration::from_secs(60);

/// Planted in statements.
const PLANTED: &str = "planted-enroll-secret-4711";
const PLANTED_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start(options: &[&str]) -> Mariadb {
    block_in_place(|| Mariadb::start(options))
}

/// Waits until somebody waits for a lock. InnoDB shows whoever reads the list of locks again within 0.1 s the same one.
async fn lock(server: &TestServer) -> DbLock {
    let database = server.database();
    eventually("somebody waits for a lock", SOON, async || {
        assert_eq!(database.number("SELECT CAST(SLEEP(0.3) AS SIGNED)"), 0);
        shown(server, "db/locks").await.read::<Vec<DbLock>>().pop()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_and_statements_are_shown_without_values() {
    let database = start(&[
        "--performance-schema=ON",
        "--performance-schema-consumer-events-statements-current=ON",
        "--performance-schema-consumer-events-statements-history=ON",
    ]);
    database.admin().execute("GRANT PROCESS ON *.* TO muster@'%'").unwrap();
    database.admin().execute("GRANT SELECT ON performance_schema.* TO muster@'%'").unwrap();
    let server = TestServer::with(|config| on_mariadb(config, &database.address())).await;
    server.enrolled(1).await;
    let session = sha256(server.rest.token());

    // One holds a row and does nothing, another one waits for it.
    let holder = server.database();
    holder.execute("BEGIN");
    holder.execute(&format!(
        "SELECT secret AS held FROM enroll_secrets WHERE secret IN ('{ENROLL_SECRET}', '{PLANTED}') FOR UPDATE"
    ));
    let waiter = server.database();
    waiter.execute("BEGIN");
    let waiting = spawn_blocking(move || {
        waiter.execute(&format!("UPDATE enroll_secrets SET secret = \"{PLANTED}\" WHERE secret = '{ENROLL_SECRET}'"));
        waiter
    });
    let found = lock(&server).await;
    assert_eq!(found.waiting_query.as_deref(), Some("UPDATE enroll_secrets SET secret = ? WHERE secret = ?"));
    let held = "SELECT secret AS held FROM enroll_secrets WHERE secret IN (?, …) FOR UPDATE";
    assert_eq!(found.blocking_query.as_deref(), Some(held));
    assert!(found.blocking_is_idle && found.table.ends_with(".enroll_secrets"), "{found:?}");
    assert!(found.index.is_some() && found.lock_mode.starts_with('X'), "{found:?}");
    let waits =
        |text: &str| text.contains("TRX HAS BEEN WAITING") && text.contains("UPDATE enroll_secrets SET secret = ?");
    let status = shown(&server, "db/innodb-status").await.text;
    assert!(waits(&status) && status.contains("END OF INNODB MONITOR OUTPUT"), "{status}");
    let processes = rows(&server, "db/process-list").await;
    let is_shown = |process: &serde_json::Value| {
        process["id"] == found.waiting_thread
            && process["info"] == "UPDATE enroll_secrets SET secret = ? WHERE secret = ?"
    };
    assert!(processes.iter().any(is_shown), "{processes:?}");
    let secrets = [ENROLL_SECRET, PLANTED, PLANTED_KEY, &session, server.rest.token(), "not-a-secret"];
    assert_hidden(&server, &secrets).await;
    holder.execute("ROLLBACK");
    waiting.await.unwrap().execute("ROLLBACK");

    // Two wait for each other, with a node key and a session in their statements.
    let (first, second) = (server.database(), server.database());
    first.execute("BEGIN");
    first.execute(&format!("UPDATE node_keys SET key_hash = X'{PLANTED_KEY}'"));
    second.execute("BEGIN");
    second.execute(&format!("UPDATE sessions SET created_at = 0 WHERE token_hash = X'{session}'"));
    let update = format!("UPDATE sessions SET created_at = 1 WHERE token_hash = 0x{session}");
    let waits_for_session = spawn_blocking(move || first.execute(&update));
    lock(&server).await;
    let waits_for_key = spawn_blocking(move || {
        second.execute(&format!("UPDATE node_keys SET instance_id = '{PLANTED}', key_hash = X'{PLANTED_KEY}'"));
    });
    let (one, other) = tokio::join!(waits_for_session, waits_for_key);
    assert!(one.is_ok() != other.is_ok(), "the database ends one of them");
    let status = shown(&server, "db/innodb-status").await.text;
    let deadlock = status.split("LATEST DETECTED DEADLOCK").nth(1).unwrap_or_default();
    assert!(deadlock.contains("UPDATE sessions SET created_at = ? WHERE token_hash = ?"), "{status}");
    assert!(deadlock.contains("UPDATE node_keys SET instance_id = ?, key_hash = ?"), "{status}");
    assert!(deadlock.contains("WE ROLL BACK TRANSACTION"), "{status}");
    assert_hidden(&server, &[&secrets[..], &["; hex ", "; asc "]].concat()).await;

    let statements = rows(&server, "db/statements").await;
    let is_counted = |row: &serde_json::Value| {
        row["statement"].as_str().unwrap().replace('`', "").starts_with("UPDATE sessions SET created_at = ?")
            && row["count"].as_u64() >= Some(1)
            && row["last_seen"].is_string()
    };
    assert!(statements.len() <= 50 && statements.iter().any(is_counted), "{statements:?}");
    let tables = rows(&server, "db/tables").await;
    let hosts = tables.iter().find(|table| table["name"] == "hosts").unwrap();
    assert!(hosts["data_bytes"].as_u64() > Some(0) && hosts["index_bytes"].as_u64() > Some(0), "{hosts}");
    let settings: DbSettings = shown(&server, "db/settings").await.read();
    assert_eq!((settings.kind.as_str(), settings.settings["performance_schema"].as_str()), ("MariaDB", "ON"));
    assert!(settings.figures["Innodb_row_lock_waits"].parse::<u64>().unwrap() > 0, "{settings:?}");
    let main = settings.pools.iter().find(|pool| pool.name == "main").unwrap();
    assert_eq!(main.max, server.config().mysql.max_open_conns);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_is_told_with_what_helps() {
    let mut database = start(&[]);
    let server = TestServer::with(|config| on_mariadb(config, &database.address())).await;
    let reason = async |item: &str| {
        let answer = shown(&server, item).await;
        assert_eq!(answer.status, 501, "{item}: {}", answer.text);
        answer.json()["error"].as_str().unwrap().to_owned()
    };
    for item in ["db/locks", "db/innodb-status"] {
        let reason = reason(item).await;
        assert!(reason.contains("GRANT PROCESS ON *.* TO 'muster'@'%';"), "{reason}");
    }
    let why = reason("db/statements").await;
    assert!(why.contains("performance_schema=ON"), "{why}");
    let own = rows(&server, "db/process-list").await;
    assert!(!own.is_empty() && own.iter().all(|process| process["user"] == "muster"), "{own:?}");

    database.admin().execute("GRANT PROCESS ON *.* TO muster@'%'").unwrap();
    assert_eq!(shown(&server, "db/locks").await.json(), json!([]));
    // Without performance_schema, what a transaction did last is not known, but what it does now is.
    let (holder, waiter) = (server.database(), server.database());
    holder.execute("BEGIN");
    let holding = spawn_blocking(move || {
        holder.number("SELECT id + SLEEP(300) FROM enroll_secrets WHERE secret <> 'planted' FOR UPDATE");
    });
    eventually("the holder runs", SOON, async || {
        let processes = rows(&server, "db/process-list").await;
        processes.iter().any(|process| process["state"] == "User sleep").then_some(())
    })
    .await;
    let waiting = spawn_blocking(move || waiter.execute("DELETE FROM enroll_secrets WHERE name = 'planted'"));
    let found = lock(&server).await;
    assert_eq!(found.waiting_query.as_deref(), Some("DELETE FROM enroll_secrets WHERE name = ?"));
    let holds = "SELECT id + SLEEP(?) FROM enroll_secrets WHERE secret <> ? FOR UPDATE";
    assert_eq!(found.blocking_query.as_deref(), Some(holds));
    assert!(!found.blocking_is_idle);
    database.admin().execute(&format!("KILL {}", found.blocking_thread)).unwrap();
    assert!(holding.await.is_err(), "its connection was ended");
    waiting.await.unwrap();

    block_in_place(|| database.kill());
    for item in ["db/locks", "db/innodb-status", "db/process-list", "db/statements", "db/settings", "db/tables"] {
        let answer = shown(&server, item).await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.json()["error"].as_str().unwrap().contains("refused"), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_while_all_connections_wait_for_locked_tables() {
    let server = TestServer::with(|config| {
        on_mariadb(config, shared());
        config.mysql.max_open_conns = 1;
    })
    .await;
    let database = server.database();
    database.hold();
    let secret = json!({ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": PLANTED }] } });
    let writing = server.rest.try_apply(std::slice::from_ref(&secret), false);
    let looking = async {
        let waiting = eventually("the write is seen to wait", SOON, async || {
            let processes = rows(&server, "db/process-list").await;
            let waits = |process: &serde_json::Value| {
                process["state"].as_str().is_some_and(|state| state.contains("metadata lock"))
            };
            processes.into_iter().find(waits)
        })
        .await;
        let settings: DbSettings = shown(&server, "db/settings").await.read();
        let tables = rows(&server, "db/tables").await;
        assert!(tables.iter().any(|table| table["name"] == "hosts"), "{tables:?}");
        assert_hidden(&server, &[PLANTED]).await;
        database.release();
        (waiting, settings)
    };
    let (_, (waiting, settings)) = tokio::join!(writing, looking);
    assert!(waiting["info"].is_string(), "{waiting}");
    assert!(settings.pools.iter().any(|pool| pool.name == "main" && pool.max == 1), "{settings:?}");
}

#[tokio::test]
async fn sqlite_shows_its_figures_and_says_what_it_lacks() {
    let server = TestServer::with(on_sqlite).await;
    server.enrolled(1).await;
    for item in ["db/locks", "db/innodb-status", "db/process-list", "db/statements"] {
        let answer = shown(&server, item).await;
        assert_eq!(answer.status, 501, "{item}");
        assert!(answer.json()["error"].as_str().unwrap().contains("SQLite"), "{}", answer.text);
    }
    // Also while another process keeps everybody from writing.
    let database = server.database();
    assert!(database.is_sqlite());
    database.hold();
    let settings: DbSettings = shown(&server, "db/settings").await.read();
    assert_eq!((settings.kind.as_str(), settings.settings["journal_mode"].as_str()), ("SQLite", "wal"));
    let figure = |name: &str| settings.figures[name].parse::<u64>().unwrap();
    assert!(figure("page_count") > 0 && figure("wal_bytes") > 0 && figure("file_bytes") > 0, "{settings:?}");
    let pools: Vec<&str> = settings.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(pools, ["read", "write"]);
    let tables = rows(&server, "db/tables").await;
    let hosts = tables.iter().find(|table| table["name"] == "hosts").unwrap();
    assert_eq!(hosts["rows"], 1);
    assert!(hosts["index_bytes"].as_u64() > Some(0), "{hosts}");
    database.release();
    assert_hidden(&server, &[ENROLL_SECRET, server.rest.token()]).await;
}

fn on_sqlite(config: &mut Config) {
    config.mysql.address.clear();
    config.redis.address.clear();
}
