//! The database refuses the row of one host; the others share its batch.

use futures_util::future::join_all;
use muster_api::osquery::answer::NO_WORK;
use sea_orm::{ConnectionTrait as _, DbBackend, Set};

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

#[actix_web::test]
async fn a_report_that_is_refused_stops_no_other() {
    let world = World::new().await;
    let hosts = enrolled(&world).await;
    refuse(&world, "hostname = 'new'").await;
    let checkin = &world.app.fleet.checkin;
    for host in &hosts {
        let details = hosts::ActiveModel { hostname: Set("new".to_owned()), ..Default::default() };
        checkin.reports.add(HostReport { host_id: host.id, details, ..HostReport::default() });
    }
    for _ in 0..2 {
        assert!(checkin.write_reports().await.is_err());
        assert_eq!(checkin.reports.waiting(), 1);
        assert!(checkin.reports.has_answers_of(hosts[2].id), "it waits on");
    }
    for (name, host) in NAMES.iter().zip(&hosts) {
        let row = crate::store::hosts::by_id(world.app.store.reader(), host.id).await.unwrap().unwrap();
        assert_eq!(row.hostname, if *name == "bad" { "bad" } else { "new" });
    }
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
