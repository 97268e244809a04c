//! What collecting costs the database.

use sea_orm::{ConnectionTrait as _, Statement};

use super::*;
use crate::fleet::statistics::difference::Runs;
use crate::fleet::statistics::query_costs::{Group, QueryCosts};
use crate::fleet::statistics::stored_costs::encode;
use crate::store::entity::{query_costs, query_versions};
use crate::store::statistics::costs::{self as stored, DAY};

/// Samples that one node gets in a minute of ten thousand hosts.
const SAMPLES: i64 = 167;

const QUERIES: u64 = 100;

fn of_hour(host_id: i64, hour: u64) -> Sample {
    let counters = |query: u64| {
        let executions = hour * (10 + query);
        let user_ms = executions * (5 + (host_id.cast_unsigned() * 31 + query * 7) % 900);
        let last_executed = START + hour * 3600;
        Counters { executions, last_executed, user_ms, wall_ms: user_ms * 2, last_memory: 4096, ..Counters::default() }
    };
    let queries: Vec<_> = (0..QUERIES).map(|query| (format!("q{query}"), counters(query))).collect();
    sample(START + hour * 3600, 1, &queries)
}

#[actix_web::test]
async fn a_sample_costs_few_statements_and_rows() {
    let world = World::new().await;
    add_hosts(&world, SAMPLES).await;
    serve(&world, schedule((0..QUERIES).map(|query| format!("q{query}"))), &[]).await;
    let hosts: Vec<_> = (1..=SAMPLES).map(|id| host(id, "ubuntu")).collect();
    let metrics = &world.app.metrics;
    for hour in 1..=3 {
        world.app.fleet.clock.advance(Duration::from_secs(3600));
        hosts.iter().for_each(|host| world.app.fleet.statistics.add(host, of_hour(host.id, hour)));
        let (statements, rows) = (metrics.sql_statements.get(), metrics.rows_written.get());
        world.app.fleet.statistics.write(true).await.unwrap();
        let (statements, rows) = (metrics.sql_statements.get() - statements, metrics.rows_written.get() - rows);
        // The first two name the queries and begin the hour.
        if hour == 3 {
            assert!(statements as f64 <= 0.05 * SAMPLES as f64, "{statements} statements");
            assert!(rows as f64 <= 1.2 * SAMPLES as f64, "{rows} rows");
        }
    }
    let costs = world.get("statistics/query?name=q7&from=2020-09-13T00:00:00Z").await.expect(200);
    assert_eq!(costs["total"]["executions"], 2 * 17 * SAMPLES);
}

/// Prints the bytes of each table after an hour of a hundred queries on ten thousand hosts, on MariaDB.
#[actix_web::test]
#[ignore = "prints figures, and takes a minute"]
async fn bytes_in_the_database() {
    let world = World::new().await;
    let hosts: i64 = 10_000;
    add_hosts(&world, hosts).await;
    serve(&world, schedule((0..QUERIES).map(|query| format!("q{query}"))), &[]).await;
    let hosts: Vec<_> = (1..=hosts)
        .map(|id| {
            (
                host(id, ["ubuntu", "darwin", "windows"][(id % 3) as usize]),
                ["5.12.2", "5.22.1", "5.23.1"][(id / 3 % 3) as usize],
            )
        })
        .collect();
    for hour in 1..=2 {
        for several in hosts.chunks(1_000) {
            world.app.fleet.clock.advance(Duration::from_secs(60));
            for (host, version) in several {
                let sample = Sample { version: AgentVersion::of(version), ..of_hour(host.id, hour) };
                world.app.fleet.statistics.add(host, sample);
            }
            world.app.fleet.statistics.write(true).await.unwrap();
        }
        if hour == 1 {
            world.app.fleet.clock.advance(Duration::from_secs(3000));
        }
    }
    let parts = "SELECT CAST(SUM(LENGTH(costs)) AS SIGNED) FROM cost_parts";
    println!("open parts: {} bytes", number(&world, parts).await);
    world.app.fleet.clock.advance(Duration::from_secs(2 * 3600));
    for _ in 0..3 {
        world.app.fleet.statistics.close().await.unwrap();
    }
    for (table, column) in [("schedule_samples", "sample"), ("query_costs", "costs")] {
        let rows = number(&world, &format!("SELECT COUNT(*) FROM {table}")).await;
        let bytes = number(&world, &format!("SELECT CAST(SUM(LENGTH({column})) AS SIGNED) FROM {table}")).await;
        println!("{table}: {rows} rows with {bytes} bytes");
        if !world.app.store.shows_every_commit() {
            world.app.store.reader().execute_unprepared(&format!("ANALYZE TABLE {table}")).await.unwrap();
            let size = format!(
                "SELECT CAST(data_length + index_length AS SIGNED) FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_name = '{table}'"
            );
            println!("{table}: {} bytes in the database", number(&world, &size).await);
        }
    }
}

async fn number(world: &World, sql: &str) -> i64 {
    let db = world.app.store.reader();
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[actix_web::test]
async fn samples_beyond_a_bound_are_dropped_and_hosts_are_not_asked() {
    let world = World::new().await;
    let statistics = &world.app.fleet.statistics;
    assert!(statistics.may_ask());
    (0..5_000).for_each(|id| statistics.add(&host(id, "ubuntu"), sample(START, 1, &[])));
    assert!(!statistics.may_ask());
    statistics.write(true).await.unwrap();
    assert!(statistics.may_ask());
    let names: Vec<_> = (0..10_000).map(|number| (format!("{number:01000}"), Counters::default())).collect();
    for id in 0..100 {
        statistics.add(&host(id, "ubuntu"), sample(START, 1, &names));
    }
    assert!(!statistics.may_ask(), "few, but large");
}

#[actix_web::test]
async fn an_agent_that_tells_its_counters_again_and_again_is_heard_once() {
    let world = World::new().await;
    add_hosts(&world, 1).await;
    serve(&world, schedule(["a".to_owned()]), &[]).await;
    let statistics = &world.app.fleet.statistics;
    let agent = host(1, "ubuntu");
    let said = |number: u64| {
        let mut said = sample(START + number, number % 2, &[("a".to_owned(), Counters::default())]);
        said.delimiter = "_".repeat(1 + number as usize % 7);
        said.queries[0].counters.is_denylisted = number.is_multiple_of(3);
        said
    };
    for number in 0..5_000 {
        statistics.add(&agent, said(number));
    }
    assert!(statistics.may_ask(), "others are asked all the same");
    for number in 0..20 {
        statistics.add(&agent, said(number));
        statistics.write(true).await.unwrap();
        world.app.fleet.clock.advance(Duration::from_secs(10));
    }
    for table in ["worker_restarts", "denylisted_queries"] {
        assert!(number(&world, &format!("SELECT COUNT(*) FROM {table}")).await <= 1, "{table}");
    }
}

#[actix_web::test]
async fn statistics_are_shed_first_and_asked_alone() {
    let world = World::new().await;
    let key = world.enroll("one", "ubuntu").await;
    let Authenticated::Host(asked) = world.app.fleet.hosts.authenticate(&key).await.unwrap() else {
        panic!("the key is good");
    };
    let now = world.app.fleet.clock.now();
    let sql =
        format!("UPDATE hosts SET detail_updated_at = {0}, label_updated_at = {0}, statistics_updated_at = 0", now.0);
    world.app.store.reader().execute_unprepared(&sql).await.unwrap();
    asked.refresh_state.take_over(&RefreshRecord {
        id: asked.id,
        detail_updated_at: now,
        label_updated_at: now,
        statistics_updated_at: Moment::NEVER,
        refetch_requested: false,
        open_round: None,
    });
    let statistics = &world.app.fleet.statistics;
    (0..3_000).for_each(|id| statistics.add(&host(id, "ubuntu"), sample(START, 1, &[])));
    let read = async || {
        let answer = world.app.fleet.checkin.read(&asked).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["queries"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(read().await, [""; 0], "so much waits that this has to");
    statistics.write(true).await.unwrap();
    world.app.fleet.clock.advance(Duration::from_secs(60));
    assert_eq!(read().await, ["fleet_detail_query_scheduled_query_stats"]);
    // As a node of the version before ends a round that it does not know.
    world.app.store.reader().execute_unprepared("UPDATE hosts SET open_round = NULL").await.unwrap();
    world.app.fleet.clock.advance(Duration::from_secs(60));
    assert_eq!(read().await, [""; 0], "it was asked");
}

#[actix_web::test]
async fn a_month_of_a_query_is_read_in_few_rows() {
    const NAMES: i64 = 20;
    const VERSIONS: i64 = 3;
    let world = World::new().await;
    let mut costs = QueryCosts::default();
    costs.add(1, &Group::of("ubuntu", AgentVersion::of("5.23.1")), &Runs { runs: 1, ..Runs::default() }, true);
    let ids = VERSIONS..VERSIONS * (NAMES + 1);
    let versions = ids.clone().map(|id| query_versions::Model {
        id,
        pack: String::new(),
        name: format!("q{}", id / VERSIONS),
        sql_hash: id,
        created_at: Moment::NEVER,
    });
    let versions: Vec<query_versions::ActiveModel> = versions.map(Into::into).collect();
    query_versions::Entity::insert_many(versions).exec_without_returning(world.app.store.reader()).await.unwrap();
    let today = world.app.fleet.clock.now().seconds().div_euclid(24 * 3600);
    let row = |(id, bucket)| query_costs::Model { query_version_id: id, span: DAY, bucket, costs: encode(&costs) };
    let rows: Vec<_> = ids.flat_map(|id| (today - 60..=today).map(move |day| (id, day))).map(row).collect();
    world.app.store.write(async |tx| stored::put(tx, rows.clone()).await).await.unwrap();

    let span = "from=2020-08-14T12:00:00Z&to=2020-09-13T12:00:00Z";
    let before = world.app.metrics.sql_statements.get();
    let report = world.get(&format!("statistics/query?name=q7&{span}")).await.expect(200);
    let statements = world.app.metrics.sql_statements.get() - before;
    assert!(statements <= 10, "{statements} statements");
    // Each row that was read counts once: those of the days that the span touches, and of no other query.
    assert_eq!(report["total"]["executions"], 31 * VERSIONS);
    assert_eq!(report["buckets"].as_array().map(Vec::len), Some(31));
}
