use std::net::SocketAddr;

use muster::clock::Clock;
use muster::config::{Config, Secret};
use muster::{Lifecycle, Running, serve};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::archive_file::ArchiveFile;
use crate::console::SETUP;
use crate::fleetctl::Fleetctl;
use crate::mariadb::{DatabaseAddress, Mariadb};
use crate::redis::RedisProcess;

/// A node over a database on MariaDB.
async fn node(fleetctl: &Fleetctl, shared: &Config, name: &str) -> (Running, Lifecycle) {
    let folder = fleetctl.path().join(name);
    let mut config = shared.clone();
    config.server.address = "127.0.0.1:0".to_owned();
    // One certificate for both, as behind a load balancer that hands TLS on.
    config.server.tls_dir = fleetctl.path().join("tls");
    config.server.workers = 1;
    config.filesystem.result_log_file = folder.join("results");
    config.filesystem.status_log_file = folder.join("statuses");
    let lifecycle = Lifecycle::default();
    (serve(config, Clock::system(), lifecycle.clone()).await.unwrap(), lifecycle)
}

/// Hands each connection to the next of the nodes.
async fn in_front_of(nodes: Vec<SocketAddr>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for node in nodes.into_iter().cycle() {
            let Ok((mut client, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut server = TcpStream::connect(node).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}

async fn connect(address: &DatabaseAddress, database: &str) -> DatabaseConnection {
    let DatabaseAddress { address, username, password } = address;
    let mut options = ConnectOptions::new(format!("mysql://{username}:{password}@{address}/{database}"));
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn all_nodes_are_collected_from_and_a_held_lock_is_found() {
    let fleetctl = Fleetctl::new();
    let mariadb = tokio::task::block_in_place(|| Mariadb::start(&[]));
    // Locks are shown to users with this right alone.
    mariadb.admin().execute("GRANT PROCESS ON *.* TO muster@'%'").unwrap();
    let (address, database) = (mariadb.address(), mariadb.address().new_database());
    let mut config = Config::default();
    config.mysql.address = address.address.clone();
    config.mysql.username = address.username.clone();
    config.mysql.password = Secret::new(&address.password);
    config.mysql.database = database.clone();
    let redis = RedisProcess::start().await;
    config.redis.address = vec![redis.address()];
    muster::prepare(&config, |_| {}).await.unwrap();
    let (first, first_life) = node(&fleetctl, &config, "one").await;
    let (second, second_life) = node(&fleetctl, &config, "two").await;
    let port = in_front_of(vec![first.address(), second.address()]).await;
    let good = |args: &[&str]| {
        let run = tokio::task::block_in_place(|| fleetctl.run(args));
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
        run
    };
    good(&["config", "set", "--address", &format!("https://127.0.0.1:{port}"), "--rootca", "tls/server.crt"]);
    good(&SETUP);

    // A transaction holds a row, and another one waits for it.
    let (holder, waiter) = (connect(&address, &database).await, connect(&address, &database).await);
    holder.execute_unprepared("CREATE TABLE held (id INT PRIMARY KEY, value INT) ENGINE=InnoDB").await.unwrap();
    holder.execute_unprepared("INSERT INTO held VALUES (1, 1)").await.unwrap();
    holder.execute_unprepared("BEGIN").await.unwrap();
    holder.execute_unprepared("UPDATE held SET value = 2 WHERE id = 1").await.unwrap();
    let waiting = tokio::spawn(async move {
        let _ = waiter.execute_unprepared("UPDATE held SET value = 3 WHERE id = 1 /* planted */").await;
    });
    lock_is_waited_for(&mariadb).await;

    let run = good(&["debug", "archive", "--all-nodes", "--profile-seconds", "1", "-o", "a.tar.gz"]);
    let archive = ArchiveFile::read(&fleetctl.path().join("a.tar.gz"));
    let manifest = archive.json("manifest.json");
    let nodes = manifest["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2, "{manifest}\n{}", run.stderr);
    assert!(nodes[0]["folder"] == "" && nodes[0]["id"] != nodes[1]["id"], "{manifest}");
    let folder = nodes[1]["folder"].as_str().unwrap();
    assert!(folder.starts_with("nodes/"), "{folder}");
    assert_eq!(archive.json("runtime.json")["node"], nodes[0]["id"]);
    assert_eq!(archive.json(&format!("{folder}runtime.json"))["node"], nodes[1]["id"]);
    assert!(
        archive.entries.contains_key("db-locks.json")
            && !archive.entries.contains_key(&format!("{folder}db-locks.json"))
    );

    let summary: Value = serde_json::from_str(&good(&["debug", "open", "a.tar.gz", "--json"]).stdout).unwrap();
    let findings = summary["findings"].as_array().unwrap();
    let lock = findings.iter().find(|finding| finding["entry"] == "db-locks.json").unwrap();
    let text = lock["text"].as_str().unwrap();
    assert!(
        lock["gravity"] == "problem" && text.contains("UPDATE held SET value = ?") && text.contains("held for"),
        "{lock}"
    );

    // Its own address leads to one node alone.
    let direct = format!("https://{}", second.address());
    good(&["debug", "archive", "--node-address", &direct, "--profile-seconds", "1", "-o", "b.tar.gz"]);
    let one = ArchiveFile::read(&fleetctl.path().join("b.tar.gz")).json("manifest.json");
    assert_eq!(one["nodes"].as_array().unwrap().len(), 1, "{one}");

    // A node that no longer answers is named, with what to do.
    second_life.abort();
    while TcpStream::connect(second.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let run = good(&[
        "debug",
        "archive",
        "--all-nodes",
        "--profile-seconds",
        "1",
        "-o",
        "c.tar.gz",
        "--node-address",
        &format!("https://{}", first.address()),
        "--node-address",
        &direct,
    ]);
    assert!(run.stderr.contains(&format!("Missed address {direct}: cannot reach")), "{run:?}");
    holder.execute_unprepared("ROLLBACK").await.unwrap();
    waiting.await.unwrap();
    first_life.abort();
}

/// Returns when a statement waits for a lock.
async fn lock_is_waited_for(mariadb: &Mariadb) {
    let admin = connect(&mariadb.admin(), "information_schema").await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let waiting = "SELECT trx_id FROM INNODB_TRX WHERE trx_state = 'LOCK WAIT'";
    let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::MySql, waiting);
    while admin.query_one_raw(statement.clone()).await.unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline, "no statement waits for the lock");
        tokio::task::yield_now().await;
    }
}
