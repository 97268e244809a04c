//! A batch of enrollments comes out as the same enrollments one after the other.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _, QuerySelect as _, TransactionTrait as _,
};

use super::batch::WaitingEnrollment;
use super::rows::{EnrollOrder, EnrollOutcome, Enrollment};
use super::transaction::write;
use super::*;
use crate::clock::Moment;
use crate::fleet::batches::Unanswered;
use crate::store::entity::{host_changes, label_members, node_keys};
use crate::store::node_keys::KeyHash;
use crate::store::secrets::{self, SecretTerms};
use crate::store::{enrollments, hosts as host_rows};
use crate::tests::size::count;
use crate::tests::world::World;

/// One enrollment; small numbers stand for what it says.
#[derive(Debug, Clone)]
struct Said {
    identifier: usize,
    instance: usize,
    platform: usize,
    /// Since the enrollment before.
    seconds: i64,
}

/// What was there before the batch, and the batch.
#[derive(Debug, Clone)]
struct Case {
    before: Vec<Said>,
    /// Hosts whose identity was found to be shared, by bits.
    cloned: usize,
    /// An older version has left hosts whose identifiers differ in capitals alone.
    has_twins: bool,
    cooldown: u64,
    batch: Vec<Said>,
}

const IDENTIFIERS: [&str; 6] = ["web", "WEB", "db", "db#2", "mail", "stra\u{df}e"];
const INSTANCES: [&str; 3] = ["", "1", "2"];
const PLATFORMS: [&str; 4] = ["", "ubuntu", "centos", "windows"];
const START: i64 = 1_600_000_000_000_000;

fn said() -> impl Strategy<Value = Said> {
    let numbers = (0..IDENTIFIERS.len(), 0..INSTANCES.len(), 0..PLATFORMS.len(), 0..4_i64);
    numbers.prop_map(|(identifier, instance, platform, seconds)| Said { identifier, instance, platform, seconds })
}

fn case() -> impl Strategy<Value = Case> {
    let all = prop::collection::vec(said(), 0..12);
    let batch = prop::collection::vec(said(), 1..60);
    (all, 0..64_usize, any::<bool>(), prop::sample::select(vec![0, 2]), batch)
        .prop_map(|(before, cloned, has_twins, cooldown, batch)| Case { before, cloned, has_twins, cooldown, batch })
}

/// The enrollments, each at a moment of its own and with a key of its own.
fn enrollments_of(world: &World, all: &[Said], first: i64) -> Vec<Enrollment> {
    let (mut now, plan) = (START + first * 100_000_000, world.app.fleet.schedule.plan());
    let enrollment = |(at, said): (usize, &Said)| {
        now += said.seconds * 1_000_000 + 1;
        let instance_id = INSTANCES[said.instance].to_owned();
        let mut columns = hosts::ActiveModel::default();
        if said.platform > 0 {
            columns.platform = sea_orm::Set(PLATFORMS[said.platform].to_owned());
            columns.os_version = sea_orm::Set(format!("{} {at}", PLATFORMS[said.platform]));
        }
        let mut key: KeyHash = [0; 32];
        key[..16].copy_from_slice(&[first.to_be_bytes(), (at as u64).to_be_bytes()].concat());
        Enrollment {
            identity: HostIdentity {
                identifier: IDENTIFIERS[said.identifier].to_owned(),
                instance_id,
                is_stand_in: false,
            },
            said: columns,
            platform_type: None,
            plan: Arc::clone(&plan),
            secret_id: at as i64,
            has_quota: false,
            key,
            now: Moment(now),
            order: EnrollOrder::default(),
        }
    };
    all.iter().enumerate().map(enrollment).collect()
}

/// Brings a server to where the batch begins.
async fn prepare(world: &World, case: &Case) {
    let store = &world.app.store;
    store
        .write(async |tx| {
            for table in ["hosts", "node_keys", "label_members", "host_changes"] {
                tx.execute_unprepared(&format!("DELETE FROM {table}")).await?;
            }
            if case.has_twins {
                let twins = ["MAIL", "mail"].map(|name| hosts::Model { identifier: name.to_owned(), ..empty_row() });
                enrollments::insert_hosts(tx, twins.into()).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
    for enrollment in enrollments_of(world, &case.before, 0) {
        store.write(async |tx| write(tx, &[&enrollment], std::time::Duration::ZERO).await).await.unwrap();
    }
    store
        .write(async |tx| {
            for (at, name) in IDENTIFIERS.iter().enumerate().filter(|(at, _)| case.cloned & (1 << at) != 0) {
                let sql = format!("UPDATE hosts SET cloned_at = {} WHERE identifier = '{name}'", at + 1);
                tx.execute_unprepared(&sql).await?;
            }
            // Keys in use make room last.
            let used = "UPDATE node_keys SET used_at = created_at, first_used_at = created_at \
                        WHERE host_id IN (SELECT id FROM hosts WHERE identifier IN ('web', 'db#2'))";
            tx.execute_unprepared(used).await?;
            Ok(())
        })
        .await
        .unwrap();
}

/// Everything that enrollments write, with identifiers for ids.
#[derive(Debug, PartialEq, Default)]
struct EnrollmentTables {
    hosts: BTreeMap<String, hosts::Model>,
    keys: BTreeMap<Vec<u8>, (String, node_keys::Model)>,
    labels: BTreeSet<(String, i64)>,
    feed: BTreeSet<(String, String)>,
}

async fn tables(world: &World) -> EnrollmentTables {
    let db = world.app.store.reader();
    let mut tables = EnrollmentTables::default();
    let mut names = BTreeMap::new();
    for host in hosts::Entity::find().all(db).await.unwrap() {
        names.insert(host.id, host.identifier.clone());
        tables.hosts.insert(host.identifier.clone(), hosts::Model { id: 0, ..host });
    }
    for key in node_keys::Entity::find().all(db).await.unwrap() {
        let name = names[&key.host_id].clone();
        tables.keys.insert(key.key_hash.clone(), (name, node_keys::Model { host_id: 0, ..key }));
    }
    for member in label_members::Entity::find().all(db).await.unwrap() {
        tables.labels.insert((names[&member.host_id].clone(), member.label_id));
    }
    for change in host_changes::Entity::find().all(db).await.unwrap() {
        tables.feed.insert((names[&change.host_id].clone(), format!("{:?}", change.kind)));
    }
    tables
}

/// What the agents are answered: the host, and the keys that had to make room.
fn answers(outcomes: &[Option<EnrollOutcome>]) -> Vec<Option<(String, BTreeSet<KeyHash>)>> {
    let answer = |outcome: &Option<EnrollOutcome>| match outcome {
        Some(EnrollOutcome::Enrolled(enrolled)) => {
            Some((enrolled.known.host.identifier.clone(), enrolled.dropped.iter().copied().collect()))
        }
        Some(EnrollOutcome::TooSoon | EnrollOutcome::NoPlace) | None => None,
    };
    outcomes.iter().map(answer).collect()
}

async fn compare(world: &World, case: &Case) -> std::result::Result<(), TestCaseError> {
    let (store, cooldown) = (&world.app.store, std::time::Duration::from_secs(case.cooldown));
    prepare(world, case).await;
    let all = enrollments_of(world, &case.batch, 1);
    let mut singly = Vec::new();
    for enrollment in &all {
        let written = store.write(async |tx| write(tx, &[enrollment], cooldown).await).await.unwrap();
        singly.extend(written.outcomes);
    }
    let expected = tables(world).await;

    prepare(world, case).await;
    let together: Vec<&Enrollment> = all.iter().collect();
    let written = store.write(async |tx| write(tx, &together, cooldown).await).await.unwrap();
    prop_assert_eq!(&expected, &tables(world).await);
    prop_assert_eq!(answers(&singly), answers(&written.outcomes));
    for (enrollment, outcome) in all.iter().zip(&written.outcomes) {
        let Some(EnrollOutcome::Enrolled(enrolled)) = outcome else { continue };
        let stored = host_rows::known(store.reader(), enrolled.known.host.id).await.unwrap().unwrap();
        prop_assert_eq!(&stored.host, &enrolled.known.host);
        prop_assert_eq!(&stored.label_ids, &enrolled.known.label_ids);
        prop_assert_eq!(enrolled.keeps_key, expected.keys.contains_key(enrollment.key.as_slice()));
    }
    Ok(())
}

#[test]
fn a_batch_comes_out_as_its_enrollments_one_after_the_other() {
    let system = actix_web::rt::System::new();
    let world = system.block_on(World::new());
    let mut runner = TestRunner::new(Config { cases: count(25, 400), failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&case(), |case| system.block_on(compare(&world, &case)));
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// The database refuses one row; the others come with it in one batch.
#[actix_web::test]
async fn one_that_cannot_be_written_refuses_no_other() {
    let world = World::new().await;
    let store = &world.app.store;
    let refuse = match store.reader().get_database_backend() {
        sea_orm::DbBackend::Sqlite => {
            "CREATE TRIGGER refuse BEFORE INSERT ON hosts WHEN NEW.identifier = 'bad' \
             BEGIN SELECT RAISE(ABORT, 'no'); END"
        }
        _ => "ALTER TABLE hosts ADD CONSTRAINT refuse CHECK (identifier <> 'bad')",
    };
    store.reader().execute_unprepared(refuse).await.unwrap();
    let names = ["first", "one", "bad", "two", "three"];
    let answers = futures_util::future::join_all(names.map(|name| world.try_enroll(name, "ubuntu"))).await;
    for (name, answer) in names.iter().zip(&answers) {
        assert_eq!(answer.is_ok(), *name != "bad", "{name}: {answer:?}");
    }
    for key in answers.into_iter().flatten() {
        assert!(world.host_of(key.reveal()).await.is_some());
    }
}

/// Whoever enrolls again with the same key has not seen that it was written.
#[actix_web::test]
async fn an_enrollment_that_is_written_already_is_not_written_again() {
    let world = World::new().await;
    let said = |identifier| Said { identifier, instance: 1, platform: 1, seconds: 0 };
    let all = enrollments_of(&world, &[said(0), said(2), said(4)], 1);
    let all: Vec<&Enrollment> = all.iter().collect();
    let cooldown = std::time::Duration::from_secs(60);
    let once = async || world.app.store.write(async |tx| write(tx, &all, cooldown).await).await.unwrap();
    let first = once().await;
    let stored = tables(&world).await;
    let second = once().await;
    assert_eq!(answers(&first.outcomes), answers(&second.outcomes));
    assert!(!second.is_for_others);
    for outcome in second.outcomes {
        assert!(matches!(outcome, Some(EnrollOutcome::Enrolled(enrolled)) if enrolled.keeps_key));
    }
    assert_eq!(stored, tables(&world).await);
}

/// SQLite has one writer and no locks of rows.
#[actix_web::test]
async fn a_row_that_is_held_keeps_no_other_host_waiting() {
    let world = World::new().await;
    let store = &world.app.store;
    if store.shows_every_commit() {
        return;
    }
    world.enroll("held", "ubuntu").await;
    let holder = store.current().inner().begin().await.unwrap();
    let row = hosts::Entity::find().filter(hosts::Column::Identifier.eq("held")).lock_exclusive();
    row.one(&holder).await.unwrap().unwrap();
    let new = hosts::Model { identifier: "new".to_owned(), ..empty_row() }.into_active_model();
    let mut new = sea_orm::ActiveModelTrait::reset_all(new);
    new.id = sea_orm::NotSet;
    hosts::Entity::insert(new).exec_without_returning(&holder).await.unwrap();

    let held = futures_util::future::join_all(["held", "NEW"].map(|name| world.try_enroll(name, "ubuntu")));
    let others: Vec<String> = (0..40).map(|number| format!("host {number}")).collect();
    let others = futures_util::future::join_all(others.iter().map(|name| world.try_enroll(name, "ubuntu")));
    let held = match futures_util::future::select(Box::pin(held), Box::pin(others)).await {
        futures_util::future::Either::Left(_) => panic!("rows that are held were written or refused"),
        futures_util::future::Either::Right((others, held)) => {
            others.into_iter().for_each(|other| drop(other.unwrap()));
            held
        }
    };
    holder.commit().await.unwrap();
    for key in held.await {
        assert!(world.host_of(key.unwrap().reveal()).await.is_some());
    }
    assert_eq!(hosts::Entity::find().count(store.reader()).await.unwrap(), 42);
}

#[actix_web::test]
async fn hosts_that_have_a_row_go_first() {
    let world = World::new().await;
    world.enroll("web", "ubuntu").await;
    let of = |identifier| Said { identifier, instance: 1, platform: 1, seconds: 0 };
    let all: Vec<Said> = (0..3).cycle().take(300).map(of).collect();
    let waiting = enrollments_of(&world, &all, 1).into_iter().enumerate().map(|(at, mut enrollment)| {
        // One that was held waited for the second batch, the next ones for the third.
        let is_held = at == 3;
        enrollment.order = EnrollOrder { goes_first: is_held.then_some(false), since: if is_held { 2 } else { 3 } };
        Unanswered::of(Box::new(enrollment))
    });
    let mut waiting: Vec<WaitingEnrollment> = waiting.collect();
    world.app.fleet.hosts.enrollments.enroller.sort(&mut waiting).await;
    let names: Vec<&str> = waiting.iter().map(|one| one.question.identity.identifier.as_str()).collect();
    assert_eq!(names[..3], ["web", "WEB", "WEB"], "in the order in which they came");
    assert!(names[..199].iter().all(|name| *name != "db"));
    assert_eq!(names[199], "web", "the one that was held, before new ones that came later");
    assert!(names[200..].iter().all(|name| *name == "db"));
}

/// Before each of its enrollments the host has another secret, so that more of them take a place than the first look shows.
#[actix_web::test]
async fn a_host_that_enrolls_with_several_secrets_at_once_takes_a_place_of_each() {
    let world = World::new().await;
    let store = &world.app.store;
    let terms = |name: &str| SecretTerms { name: name.to_owned(), expires_at: None, quota: Some(2) };
    store
        .write(async |tx| {
            for name in ["one", "other"] {
                secrets::insert(tx, &format!("obvious-fake-{name}"), terms(name), Moment(START)).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let of = async |name: &str| {
        let all = secrets::all(store.reader()).await.unwrap();
        all.into_iter().find(|secret| secret.name == name).unwrap()
    };
    let (one, other) = (of("one").await.id, of("other").await.id);
    let enroll = async |first: i64, secret_ids: &[i64]| -> Vec<bool> {
        let said = vec![Said { identifier: 0, instance: 1, platform: 0, seconds: 1 }; secret_ids.len()];
        let with_secret = |(enrollment, secret_id): (Enrollment, &i64)| Enrollment {
            secret_id: *secret_id,
            has_quota: true,
            ..enrollment
        };
        let all: Vec<Enrollment> =
            enrollments_of(&world, &said, first).into_iter().zip(secret_ids).map(with_secret).collect();
        let all: Vec<&Enrollment> = all.iter().collect();
        let written = store.write(async |tx| write(tx, &all, std::time::Duration::ZERO).await).await.unwrap();
        written.outcomes.iter().map(|outcome| matches!(outcome, Some(EnrollOutcome::Enrolled(_)))).collect()
    };
    assert_eq!(enroll(0, &[one]).await, [true]);
    assert_eq!(enroll(1, &[other, one, one, other]).await, [true; 4]);
    assert_eq!((of("one").await.hosts_enrolled, of("other").await.hosts_enrolled), (2, 2));
    assert_eq!(
        enroll(2, &[one, other]).await,
        [false, true],
        "no place is left, and none is needed for the same again"
    );
}
