//! What check-ins cost the database.

use rand::RngExt as _;
use sea_orm::{ConnectionTrait as _, Set};

use super::simulation::Simulation;
use crate::fleet::hosts::NodeKey;
use crate::store::{self, entity};
use crate::tests::size::count;

/// Hosts that check in every ten seconds with any of the nodes. Prints what that costs:
/// `cargo test -p muster --lib check_ins_cost -- --nocapture`.
#[actix_web::test]
async fn check_ins_cost_few_statements_and_rows_at_any_number_of_nodes() {
    const COUNT: usize = 1_000;
    let all = [(4, false), (2, true), (1, false), (1, true), (2, false)];
    for (nodes, has_older_node) in all.into_iter().take(count(2, all.len())) {
        let mut simulation = Simulation::new(0, &vec![0; nodes]).await;
        let store = &simulation.world.app.store;
        let now = simulation.now();
        let keys: Vec<String> = (1..=COUNT).map(|host| format!("key-{host}")).collect();
        let host = |key: &String| entity::hosts::ActiveModel {
            identifier: Set(key.clone()),
            claimed_identifier: Set(key.clone()),
            ..Default::default()
        };
        store.write(async |tx| store::hosts::insert_many(tx, keys.iter().map(host).collect()).await).await.unwrap();
        let ids = store::hosts::ids_of(store.reader(), &keys).await.unwrap();
        let add_keys = store.write(async |tx| {
            let row = |key: &String| entity::node_keys::Model {
                key_hash: NodeKey::hash(key).to_vec(),
                host_id: ids[key],
                instance_id: String::new(),
                created_at: now,
                used_at: None,
                first_used_at: None,
            };
            store::enrollments::insert_keys(tx, keys.iter().map(row).collect()).await
        });
        add_keys.await.unwrap();
        if has_older_node {
            let older = format!("INSERT INTO replicas (id, written_at) VALUES ('older', {})", now.0);
            store.write(async |tx| Ok(tx.execute_unprepared(&older).await.map(drop)?)).await.unwrap();
        }
        let (mut requests, mut before) = (0, None);
        for second in 0..540 {
            let metrics = &simulation.world.app.metrics;
            if second == 240 {
                before = Some((metrics.sql_statements.get(), metrics.rows_written.get()));
                requests = 0;
            }
            for key in keys.iter().skip(second % 10).step_by(10) {
                let node = simulation.random.random_range(0..nodes);
                simulation.nodes[node].hosts.authenticate(key).await.unwrap();
                requests += 1;
            }
            simulation.work_for_a_second().await;
        }
        let metrics = &simulation.world.app.metrics;
        let (statements, rows) = before.unwrap();
        let (statements, rows) = (metrics.sql_statements.get() - statements, metrics.rows_written.get() - rows);
        let per_thousand = |number: u64| number as f64 * 1_000.0 / f64::from(requests);
        eprintln!(
            "{nodes} nodes, older node: {has_older_node}: {requests} requests, {:.1} statements and {:.1} rows per 1,000",
            per_thousand(statements),
            per_thousand(rows)
        );
        if !has_older_node {
            assert!(per_thousand(rows) <= 20.0);
            assert!(
                statements <= 300 * 2 * nodes as u64,
                "two statements a second at each node, whatever the requests"
            );
        }
    }
}
