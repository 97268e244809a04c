use std::collections::BTreeMap;
use std::sync::LazyLock;

use sea_orm::{ConnectionTrait as _, DbBackend, NotSet, Set, Statement};

use super::size::count;
use super::{mariadb, world};
use crate::clock::Moment;
use crate::config::Config;
use crate::store::reports::{self, HostReport};
use crate::store::{Store, StoreCounters, entity, feed, generations, hosts, named};

static HOSTS: LazyLock<i64> = LazyLock::new(|| count(1_500, 5_000));
const LABELS: i64 = 8;
const ROUNDS: i64 = 6;
/// Hosts written in one transaction.
const BATCH: i64 = 250;

/// Reports of some hosts in one round: every host changes half of its labels.
fn batch(first: i64, round: i64) -> BTreeMap<i64, HostReport> {
    let report = |host_id: i64| HostReport {
        host_id,
        details: entity::hosts::ActiveModel { uptime_secs: Set(round), ..Default::default() },
        labels: (1..=LABELS).map(|label| (label, (host_id + label + round) % 2 == 0)).collect(),
        answered: BTreeMap::new(),
    };
    (first..first + BATCH).map(|host_id| (host_id, report(host_id))).collect()
}

/// Writes all batches, which half of the hosts share with the other store in this round.
async fn flip(store: &Store, shift: i64) {
    for round in 0..ROUNDS {
        for first in (0..*HOSTS / BATCH).map(|at| (at * BATCH + shift) % *HOSTS + 1) {
            let mut reports = batch(first.min(*HOSTS - BATCH + 1), round);
            while !reports.is_empty() {
                let held = store.write(async |tx| {
                    // As check-ins are written: rows are locked first, and who has moved is told last.
                    let host_ids: Vec<i64> = reports.keys().copied().collect();
                    let reporting = reports::reporting(tx, &host_ids).await?;
                    reports::write(tx, &reports, &reporting.rows, &BTreeMap::new()).await?;
                    feed::append(tx, feed::HostChangeKind::Changed, host_ids, Moment(round)).await?;
                    Ok(reporting.held)
                });
                let held = held.await.unwrap();
                reports.retain(|host_id, _| held.contains(host_id));
            }
        }
    }
}

/// How often InnoDB has found transactions waiting for each other.
async fn deadlocks(store: &Store) -> u64 {
    let sql = "SELECT CAST(`count` AS SIGNED) FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'";
    let row = store.reader().query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await.unwrap().unwrap();
    row.try_get_by_index::<i64>(0).unwrap() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_with_flipping_labels_lose_nothing_to_deadlocks() {
    if !mariadb::is_chosen() {
        eprintln!("skipped: set MUSTER_TEST_DB=mariadb");
        return;
    }
    let own = mariadb::Mariadb::start(&["--innodb-monitor-enable=lock_deadlocks"]);
    let mut config = Config::default();
    world::on_mariadb_at(&mut config, &own.address()).await;
    own.admin().execute(&format!("GRANT PROCESS ON *.* TO {}@'%'", own.address().username)).unwrap();
    let counters = [StoreCounters::default(), StoreCounters::default()];
    let one = Store::open_mysql(&config.mysql, counters[0].clone()).await.unwrap();
    let other = Store::open_mysql(&config.mysql, counters[1].clone()).await.unwrap();
    one.write(async |tx| {
        for at in 0..LABELS {
            let label = entity::labels::ActiveModel {
                id: NotSet,
                name: Set(format!("label {at}")),
                description: Set(String::new()),
                query: Set("SELECT 1".to_owned()),
                platform: Set(String::new()),
                label_type: Set(entity::labels::LabelTypeWord::Regular),
                membership_type: Set(entity::labels::MembershipWord::Dynamic),
                created_at: Set(Moment(0)),
                updated_at: Set(Moment(0)),
            };
            named::insert(tx, label).await?;
        }
        let host = |at| entity::hosts::ActiveModel { identifier: Set(format!("host {at}")), ..Default::default() };
        hosts::insert_many(tx, (0..*HOSTS).map(host).collect()).await
    })
    .await
    .unwrap();
    let before = deadlocks(&one).await;
    tokio::join!(flip(&one, 0), flip(&other, *HOSTS / 2 + 100));
    let found = deadlocks(&one).await - before;
    let retries = counters[0].retries.get() + counters[1].retries.get();
    let rows = counters[0].rows_written.get() + counters[1].rows_written.get();
    eprintln!(
        "{} hosts, {ROUNDS} rounds, two stores: {found} deadlocks, {retries} retries, {rows} rows written",
        *HOSTS
    );
    assert!(retries >= found, "{found} deadlocks but only {retries} retries");
    // Both have written the last round last, so that it stands.
    for (wanted, is_odd) in [(0, "<>"), (*HOSTS * LABELS / 2, "=")] {
        let sql = format!("SELECT count(*) FROM label_members WHERE (host_id + label_id) % 2 {is_odd} 1");
        let row = one.reader().query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), wanted);
    }
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_wait_for_each_other_are_both_written_in_the_end() {
    if !mariadb::is_chosen() {
        eprintln!("skipped: set MUSTER_TEST_DB=mariadb");
        return;
    }
    let mut config = Config::default();
    world::on_mariadb_at(&mut config, mariadb::shared()).await;
    let counters = StoreCounters::default();
    let store = Store::open_mysql(&config.mysql, counters.clone()).await.unwrap();
    store
        .write(async |tx| {
            generations::bump(tx, "one").await?;
            generations::bump(tx, "two").await
        })
        .await
        .unwrap();
    let (met, is_first) = (tokio::sync::Barrier::new(2), [true, true].map(std::sync::atomic::AtomicBool::new));
    let both = async |first: &'static str, second: &'static str, own: usize| {
        store
            .write(async |tx| {
                generations::bump(tx, first).await?;
                if is_first[own].swap(false, std::sync::atomic::Ordering::Relaxed) {
                    met.wait().await;
                }
                generations::bump(tx, second).await
            })
            .await
    };
    let (forth, back) = tokio::join!(both("one", "two", 0), both("two", "one", 1));
    assert!(forth.is_ok() && back.is_ok(), "{forth:?} {back:?}");
    assert!(counters.retries.get() >= 1);
    for name in ["one", "two"] {
        assert_eq!(generations::current(store.reader(), name).await.unwrap(), 3);
    }
    store.close().await;
}
