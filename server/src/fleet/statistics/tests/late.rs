//! Samples and versions of queries that become visible in another order than that of their making.

use sea_orm::ConnectionTrait as _;

use super::*;

fn ran(executions: u64) -> [(String, Counters); 1] {
    [("a".to_owned(), Counters { executions, user_ms: executions * 10, ..Counters::default() })]
}

/// Two nodes that serve the query `a` to one host.
async fn nodes() -> (World, World, Arc<Host>) {
    let first = World::new().await;
    add_hosts(&first, 1).await;
    serve(&first, schedule(["a".to_owned()]), &[]).await;
    let second = first.beside().await;
    (first, second, host(1, "ubuntu"))
}

fn pass(nodes: [&World; 2], seconds: u64) {
    nodes.into_iter().for_each(|world| world.app.fleet.clock.advance(Duration::from_secs(seconds)));
}

async fn take(world: &World, host: &Arc<Host>, sample: Sample) {
    world.app.fleet.statistics.add(host, sample);
    world.app.fleet.statistics.write(true).await.unwrap();
}

async fn counted(world: &World) -> Value {
    let report = world.get("statistics/query?name=a&from=2020-09-13T00:00:00Z").await.expect(200);
    report["total"]["executions"].clone()
}

#[actix_web::test]
async fn a_sample_that_waits_at_a_node_for_an_hour_is_not_counted_over_a_later_one() {
    let (first, second, host) = nodes().await;
    take(&first, &host, sample(START, 1, &ran(10))).await;
    pass([&first, &second], 3600);
    first.app.fleet.statistics.add(&host, sample(START + 3600, 1, &ran(20)));
    pass([&first, &second], 3600);
    take(&second, &host, sample(START + 7200, 1, &ran(30))).await;
    first.app.fleet.statistics.write(true).await.unwrap();
    assert_eq!(counted(&second).await, 20);
    pass([&first, &second], 3600);
    take(&first, &host, sample(START + 10_800, 1, &ran(35))).await;
    assert_eq!(counted(&second).await, 25);
}

#[actix_web::test]
async fn a_node_whose_clock_was_ahead_stops_nothing() {
    let (first, second, host) = nodes().await;
    take(&first, &host, sample(START, 1, &ran(10))).await;
    let ahead = "UPDATE schedule_samples SET received_at = received_at + 86400000000";
    first.app.store.reader().execute_unprepared(ahead).await.unwrap();
    pass([&first, &second], 3600);
    take(&second, &host, sample(START + 3600, 1, &ran(20))).await;
    assert_eq!(counted(&first).await, 10);
}

/// Adds a version as another node does whose transaction is slow: with an id that was given out before.
async fn add_version(world: &World, id: i64, name: &str) {
    let hash = sql_hash(&format!("SELECT '{name}'"));
    let sql = format!(
        "INSERT INTO query_versions (id, pack, name, sql_hash, created_at) VALUES ({id}, '', '{name}', {hash}, 7)"
    );
    world.app.store.reader().execute_unprepared(&sql).await.unwrap();
}

#[actix_web::test]
async fn versions_are_found_in_whatever_order_they_appear() {
    let (first, second, host) = nodes().await;
    add_version(&first, 1_000, "other").await;
    for world in [&first, &second] {
        report(world, "other").await;
    }
    add_version(&first, 5, "a").await;
    // The version is known to one node from the config, and to the other from the last sample.
    for hour in 0..6 {
        let node = if hour % 2 == 0 { &first } else { &second };
        take(node, &host, sample(START + hour * 3600, 1, &ran(100 + hour * 10))).await;
        pass([&first, &second], 3600);
    }
    assert_eq!((counted(&first).await, counted(&second).await), (json!(50), json!(50)));
}

#[actix_web::test]
async fn two_nodes_that_meet_a_query_at_once_call_it_the_same() {
    let (first, second, _) = nodes().await;
    add_hosts_from(&first, 2, 40).await;
    for hour in 0..3_i64 {
        for id in 2..=41 {
            let node = if (id + hour) % 2 == 0 { &first } else { &second };
            let said = sample(START + hour.cast_unsigned() * 3600, 1, &ran(hour.cast_unsigned() * 7));
            node.app.fleet.statistics.add(&host(id, "ubuntu"), said);
        }
        let (one, other) = (&first.app.fleet.statistics, &second.app.fleet.statistics);
        let (one, other) = tokio::join!(one.write(true), other.write(true));
        one.and(other).unwrap();
        pass([&first, &second], 3600);
    }
    assert_eq!((counted(&first).await, counted(&second).await), (json!(560), json!(560)));
}

#[actix_web::test]
async fn what_is_denylisted_ends_with_the_host_or_its_next_first_sample() {
    let (world, _, known) = nodes().await;
    let denylist =
        "INSERT INTO denylisted_queries (host_id, pack, name, since) VALUES (1, '', 'a', 1), (77, '', 'a', 1)";
    world.app.store.reader().execute_unprepared(denylist).await.unwrap();
    let open = async || {
        let listed = world.get("statistics/denylist").await.expect(200)["denylist"].clone();
        listed.as_array().unwrap().iter().map(|row| row["host_id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(open().await, [77, 1]);
    take(&world, &known, sample(START, 1, &ran(1))).await;
    assert_eq!(open().await, [77], "the host runs it");
    world.app.fleet.statistics.forget_old().await.unwrap();
    assert_eq!(open().await, [0; 0], "there is no such host");
    let mut gone = sample(START, 1, &ran(1));
    gone.queries[0].counters.is_denylisted = true;
    take(&world, &host(78, "ubuntu"), gone).await;
    assert_eq!(open().await, [0; 0], "it was deleted while its sample waited");
}
