//! A database that fails in the middle of an apply leaves nothing of it behind, wherever that is.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Database, TestServer};

/// Tables an apply may write to.
const TABLES: [&str; 11] = [
    "queries",
    "labels",
    "label_members",
    "packs",
    "pack_labels",
    "pack_label_conditions",
    "scheduled_queries",
    "settings",
    "generations",
    "enroll_secrets",
    "activities",
];

/// Lets the next `writes` rows be written and fails at the one after.
fn fail_after(database: &Connection, writes: usize) {
    let mut sql = format!("CREATE TABLE fault (left INTEGER); INSERT INTO fault VALUES ({writes});");
    for table in TABLES {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            sql.push_str(&format!(
                "CREATE TRIGGER fault_{table}_{event} BEFORE {event} ON {table} BEGIN \
                   UPDATE fault SET left = left - 1; \
                   SELECT RAISE(ABORT, 'planted fault') WHERE (SELECT left FROM fault) < 0; \
                 END;"
            ));
        }
    }
    database.execute_batch(&sql).unwrap();
}

fn heal(database: &Connection) {
    let mut sql = "DROP TABLE fault;".to_owned();
    for table in TABLES {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            sql.push_str(&format!("DROP TRIGGER fault_{table}_{event};"));
        }
    }
    database.execute_batch(&sql).unwrap();
}

/// Everything in the tables, as text.
fn contents(database: &Connection) -> String {
    let mut text = String::new();
    for table in TABLES {
        let mut statement = database.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns).map(|i| format!("{:?}", row.get_ref(i).unwrap())).collect();
            text.push_str(&format!("{table}: {}\n", values.join(", ")));
        }
    }
    text
}

fn documents(round: u32) -> Vec<Value> {
    let sql = |name: &str| json!({ "kind": "query", "spec": { "name": name, "query": format!("SELECT {round}") } });
    vec![
        sql("a"),
        sql("b"),
        json!({ "kind": "label", "spec": { "name": "l", "query": format!("SELECT {round}") } }),
        json!({ "kind": "label", "spec": { "name": "m", "label_membership_type": "manual",
                "hosts": if round == 1 { json!([]) } else { json!(["the-host"]) } } }),
        json!({ "kind": "pack", "spec": { "name": "p", "targets": { "labels": ["l", "All Hosts"] },
                "queries": [{ "query": "a", "interval": 60 + round }, { "query": "b", "interval": 60 }] } }),
        json!({ "kind": "config", "spec": { "org_info": { "org_name": format!("round {round}") },
                "agent_options": { "config": { "options": { "distributed_interval": 10 + round } } } } }),
        json!({ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": crate::support::ENROLL_SECRET },
                { "secret": format!("secret {round}") }] } }),
    ]
}

#[tokio::test]
async fn a_fault_at_any_write_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let Database::Sqlite(database) = server.database() else {
        eprintln!("skipped: the faults are planted with SQLite's triggers");
        return;
    };
    let identity = agent_compat::agent::Identity {
        host_identifier: "the-host".to_owned(),
        ..agent_compat::agent::Identity::simulated(1, 1, agent_compat::agent::Platform::Linux)
    };
    let mut agent = server.address.agent_of(identity);
    assert!(agent.enroll().await.verdict.is_success());
    for round in 1..=2 {
        let documents = documents(round);
        let mut faults = 0;
        loop {
            let before = contents(&database);
            let served = agent.config().await.body().to_vec();
            fail_after(&database, faults);
            let answer = server.rest.try_apply(&documents, false).await;
            heal(&database);
            if answer.status == 200 {
                break;
            }
            assert_eq!(answer.status, 500, "round {round}, write {faults}: {}", answer.text);
            assert_eq!(contents(&database), before, "round {round}: a fault at write {faults} left something behind");
            assert_eq!(agent.config().await.body(), served, "nor do hosts see any of it");
            faults += 1;
        }
        assert!(faults > 10, "only {faults} writes were tried in round {round}");
        assert_ne!(agent.config().await.body(), b"{}");
    }
}
