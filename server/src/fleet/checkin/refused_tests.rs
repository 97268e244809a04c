//! The database refuses the row of one host, or somebody holds it; the others share its batch.

use futures_util::future::join_all;
use muster_api::osquery::answer::NO_WORK;
use sea_orm::{
    ConnectionTrait as _, DatabaseTransaction, DbBackend, EntityTrait as _, QueryOrder as _, QuerySelect as _, Set,
    TransactionTrait as _,
};

use super::*;
use crate::fleet::hosts::Authenticated;
use crate::store::entity::hosts;
use crate::store::reports::HostReport;
use crate::tests::world::World;

const NAMES: [&str; 5] = ["a", "b", "bad", "c", "d"];

async fn refuse(world: &World, condition: &str) {
    let db = world.app.store.reader();
    let sql = match db.get_database_backend() {
        DbBackend::Sqlite => format!(
            "CREATE TRIGGER refuse BEFORE UPDATE ON hosts WHEN NEW.identifier = 'bad' AND NEW.{condition} \
             BEGIN SELECT RAISE(ABORT, 'no'); END"
        ),
        _ => format!("ALTER TABLE hosts ADD CONSTRAINT refuse CHECK (NOT (identifier = 'bad' AND {condition}))"),
    };
    db.execute_unprepared(&sql).await.unwrap();
}

async fn enrolled(world: &World) -> Vec<Arc<Host>> {
    let mut hosts = Vec::new();
    for name in NAMES {
        let key = world.enroll(name, "ubuntu").await;
        let Authenticated::Host(host) = world.app.fleet.hosts.authenticate(&key).await.unwrap() else {
            panic!("the key is good");
        };
        hosts.push(host);
    }
    hosts
}

fn report(checkin: &Checkin, hosts: &[Arc<Host>]) {
    for host in hosts {
        let details = hosts::ActiveModel { hostname: Set("new".to_owned()), ..Default::default() };
        let report = HostReport { host_id: host.id, details, ..HostReport::default() };
        checkin.reports.add(report, false, checkin.clock.now());
    }
}

async fn hostnames(world: &World) -> Vec<String> {
    let rows = hosts::Entity::find().order_by_asc(hosts::Column::Id).all(world.app.store.reader()).await.unwrap();
    rows.into_iter().map(|row| row.hostname).collect()
}

/// Holds the row of a host until the transaction is over.
async fn hold(world: &World, host_id: i64) -> DatabaseTransaction {
    let holder = world.app.store.current().inner().begin().await.unwrap();
    hosts::Entity::find_by_id(host_id).lock_exclusive().one(&holder).await.unwrap().unwrap();
    holder
}

/// Agents of different platforms say different things.
#[actix_web::test]
async fn hosts_that_say_different_things_share_a_statement() {
    let world = World::new().await;
    let hosts = enrolled(&world).await;
    let (checkin, statements) = (&world.app.fleet.checkin, &world.app.metrics.sql_statements);
    let say = |host: &Arc<Host>, details| {
        checkin.reports.add(
            HostReport { host_id: host.id, details, ..HostReport::default() },
            false,
            checkin.clock.now(),
        );
    };
    let text = |text: &str| Set(text.to_owned());
    for host in &hosts[..2] {
        let details = hosts::ActiveModel { build: text("1"), code_name: text("a"), ..Default::default() };
        say(host, details);
    }
    checkin.write_reports(true).await.unwrap();
    let before = statements.get();
    say(&hosts[0], hosts::ActiveModel { build: text("2"), uptime_secs: Set(5), ..Default::default() });
    say(&hosts[1], hosts::ActiveModel { code_name: text("b"), uptime_secs: Set(7), ..Default::default() });
    checkin.write_reports(true).await.unwrap();
    assert_eq!(statements.get() - before, 2, "the rows are read and written");
    let rows = hosts::Entity::find().order_by_asc(hosts::Column::Id).all(world.app.store.reader()).await.unwrap();
    let said = |row: &hosts::Model| (row.build.clone(), row.code_name.clone(), row.uptime_secs);
    assert_eq!(said(&rows[0]), ("2".to_owned(), "a".to_owned(), 5));
    assert_eq!(said(&rows[1]), ("1".to_owned(), "b".to_owned(), 7));
}

#[actix_web::test]
async fn a_report_that_is_refused_stops_no_other() {
    let world = World::new().await;
    let hosts = enrolled(&world).await;
    refuse(&world, "hostname = 'new'").await;
    let checkin = &world.app.fleet.checkin;
    report(checkin, &hosts);
    for _ in 0..2 {
        assert!(checkin.write_reports(true).await.is_err());
        assert_eq!(checkin.reports.waiting(), 1);
        assert!(checkin.reports.has_answers_of(hosts[2].id), "it waits on");
    }
    assert_eq!(hostnames(&world).await, ["new", "new", "bad", "new", "new"]);
}

/// SQLite has no locks of rows.
#[actix_web::test]
async fn a_report_whose_row_is_held_waits_and_stops_no_other() {
    let world = World::new().await;
    if world.app.store.shows_every_commit() {
        return;
    }
    let hosts = enrolled(&world).await;
    let holder = hold(&world, hosts[2].id).await;
    let checkin = &world.app.fleet.checkin;
    report(checkin, &hosts);
    for _ in 0..2 {
        checkin.write_reports(true).await.unwrap();
        assert_eq!(checkin.reports.waiting(), 1);
        assert!(checkin.reports.has_answers_of(hosts[2].id), "it waits on");
        assert_eq!(hostnames(&world).await, ["new", "new", "bad", "new", "new"]);
    }
    holder.rollback().await.unwrap();
    checkin.write_reports(true).await.unwrap();
    assert_eq!(checkin.reports.waiting(), 0);
    assert_eq!(hostnames(&world).await, ["new"; 5]);

    // A host that is gone is not taken for one that is held.
    report(checkin, &hosts);
    world.post("hosts/delete", serde_json::json!({ "ids": [hosts[2].id] })).await.expect(200);
    checkin.write_reports(true).await.unwrap();
    assert_eq!(checkin.reports.waiting(), 0);
}

#[actix_web::test]
async fn a_host_whose_row_is_refused_keeps_no_other_from_being_asked() {
    let world = World::new().await;
    let hosts = enrolled(&world).await;
    refuse(&world, "open_round IS NOT NULL").await;
    let answers = join_all(hosts.iter().map(|host| world.app.fleet.checkin.read(host))).await;
    for (name, answer) in NAMES.iter().zip(answers) {
        assert_eq!(answer == NO_WORK, *name == "bad", "{name}: {answer:?}");
    }
}

/// SQLite has no locks of rows.
#[actix_web::test]
async fn a_host_whose_row_is_held_keeps_no_other_from_being_asked() {
    let world = World::new().await;
    if world.app.store.shows_every_commit() {
        return;
    }
    let hosts = enrolled(&world).await;
    let holder = hold(&world, hosts[2].id).await;
    let answers = join_all(hosts.iter().map(|host| world.app.fleet.checkin.read(host))).await;
    for (name, answer) in NAMES.iter().zip(answers) {
        assert_eq!(answer == NO_WORK, *name == "bad", "{name}: {answer:?}");
    }
    holder.rollback().await.unwrap();
    world.app.fleet.clock.advance(std::time::Duration::from_secs(60));
    assert_ne!(world.app.fleet.checkin.read(&hosts[2]).await, NO_WORK, "it is asked later");
}
