//! Lists may be read from a replica of the database, which lags behind; what decides anything is not.

use std::time::Duration;

use muster::config::Mysql;
use muster_api::rest::HostStatus;

use crate::support::mariadb::Mariadb;
use crate::support::{Database, TestServer, eventually, on_mariadb};

/// How soon a replica must have what the database has, or be used again.
const SOON: Duration = Duration::from_secs(30);

/// A database and a replica of it.
fn replicated() -> (Mariadb, Mariadb) {
    let primary = Mariadb::start(&["--log-bin=changes", "--server-id=1"]);
    let replica = Mariadb::start(&["--read-only", "--server-id=2"]);
    let (from, at) = (primary.admin(), replica.admin());
    let (host, port) = from.address.rsplit_once(':').unwrap();
    at.execute(&format!(
        "CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='{}', MASTER_USE_GTID=slave_pos",
        from.username
    ))
    .unwrap();
    at.execute("START SLAVE").unwrap();
    (primary, replica)
}

/// How many hosts the server lists and counts. Rows of a list come from the replica.
async fn listed(server: &TestServer) -> (u64, u64) {
    let list = server.rest.get("hosts").await.json();
    let count = server.rest.get("hosts/count").await.json();
    (list["hosts"].as_array().unwrap().len() as u64, count["count"].as_u64().unwrap())
}

/// What the rows of a list say, in the order of their hosts.
async fn code_names(server: &TestServer) -> Vec<String> {
    let list = server.rest.get("hosts?order_key=id").await.json();
    list["hosts"].as_array().unwrap().iter().map(|host| host["code_name"].as_str().unwrap().to_owned()).collect()
}

async fn lists(server: &TestServer, hosts: u64) {
    let what = format!("{hosts} hosts are listed");
    eventually(&what, SOON, async || (listed(server).await == (hosts, hosts)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_from_the_replica_and_decisions_do_not() {
    let (primary, mut replica) = tokio::task::block_in_place(replicated);
    let server = TestServer::with(|config| {
        on_mariadb(config, &primary.address());
        config.mysql_read_replica.0 = Mysql { address: replica.address().address, ..config.mysql.clone() };
    })
    .await;
    server.enrolled(1).await;
    lists(&server, 1).await;

    tokio::task::block_in_place(|| replica.admin().execute("STOP SLAVE")).unwrap();
    let mut agent = server.enrolled(2).await;
    assert!(agent.config().await.verdict.is_success(), "its key is not on the replica");
    let path = format!("hosts/identifier/{}", agent.agent().identity().uuid);
    assert_eq!(server.rest.get(&path).await.json()["host"]["status"], serde_json::json!(HostStatus::Online));
    server.database().execute("UPDATE hosts SET code_name = 'newer'");
    assert_eq!(listed(&server).await, (2, 2), "hosts that the replica lacks are read from the database");
    let names = code_names(&server).await;
    assert_eq!(names[1], "newer");
    assert_ne!(names[0], "newer", "the row of the other is as old as the replica");

    tokio::task::block_in_place(|| replica.kill());
    assert_eq!(code_names(&server).await, ["newer", "newer"], "without the replica the database is read");
    assert!(server.metric("muster_read_replica_failures_total").await >= 1.0);

    let mut of_replica = server.config().clone();
    of_replica.mysql.address = replica.address().address;
    tokio::task::block_in_place(|| {
        replica.resume();
        let admin = replica.admin();
        admin.execute("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON").unwrap();
        admin.execute(&format!("GRANT SELECT ON mysql.general_log TO {}@'%'", of_replica.mysql.username)).unwrap();
    });
    server.enrolled(3).await;
    eventually("the replica is read again", SOON, async || {
        listed(&server).await;
        let readings = "SELECT count(*) FROM mysql.general_log WHERE argument LIKE '%FROM `hosts`%'";
        (Database::of(&of_replica).number(readings) > 0).then_some(())
    })
    .await;
    assert_eq!(listed(&server).await, (3, 3));
}
