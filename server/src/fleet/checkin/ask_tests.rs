use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use muster_api::osquery::answer::NO_WORK;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use super::*;
use crate::fleet::hosts::Authenticated;
use crate::lock::lock;
use crate::tests::world::World;

const INTERVALS: due::RefreshIntervals = due::RefreshIntervals {
    details: Duration::from_secs(3600),
    labels: Duration::from_secs(3600),
    statistics: None,
    asks_schema: false,
};

async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Is the one who writes until the sender is dropped.
async fn hold(store: &Store) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (store, (release, released), (said, held)) = (store.clone(), oneshot::channel::<()>(), oneshot::channel());
    let task = spawn_local(async move {
        let once = Mutex::new(Some((said, released)));
        let outcome = store.write(async |_| {
            let (said, released) = lock(&once).take().unwrap();
            said.send(()).unwrap();
            // Ends when the sender is dropped.
            let _ = released.await;
            Ok(())
        });
        outcome.await.unwrap();
    });
    held.await.unwrap();
    (release, task)
}

async fn record(store: &Store, host_id: i64) -> RefreshRecord {
    let row = store::hosts::by_id(store.reader(), host_id).await.unwrap().unwrap();
    RefreshRecord {
        id: row.id,
        detail_updated_at: row.detail_updated_at,
        label_updated_at: row.label_updated_at,
        statistics_updated_at: row.statistics_updated_at,
        refetch_requested: row.refetch_requested,
        open_round: row.open_round,
    }
}

async fn request(world: &World, host_id: i64) -> RefreshRequest {
    let plan = world.app.fleet.schedule.plan();
    let now = Moment(1_600_000_100_000_000);
    let record = record(&world.app.store, host_id).await;
    let check = RefreshCheck::of(record, &plan, INTERVALS, now);
    RefreshRequest { host_id, platform: "ubuntu".into(), plan, intervals: INTERVALS, now, since: Instant::now(), check }
}

async fn has_round(store: &Store, host_id: i64) -> bool {
    record(store, host_id).await.open_round.is_some()
}

#[actix_web::test]
async fn questions_that_nobody_waits_for_are_taken_back() {
    let world = World::new().await;
    for name in ["given up", "there"] {
        world.enroll(name, "ubuntu").await;
    }
    let store = &world.app.store;
    let given_up = Unanswered::of(request(&world, 1).await);
    let (there, answer) = Unanswered::awaited(request(&world, 2).await);
    decide_batch(store, vec![there, given_up]).await;
    assert!(!answer.await.unwrap().names.is_empty());
    assert!(has_round(store, 2).await);
    // They are open again, and not lost.
    assert!(!has_round(store, 1).await);
    let given = Asker::new(LEISURELY_SPACING).ask(store, request(&world, 1).await).await.unwrap();
    assert!(given.names.len() > 1, "all questions in one read: {given:?}");
}

#[actix_web::test]
async fn a_host_costs_two_statements_unless_a_question_is_parked() {
    let world = World::new().await;
    let (store, statements) = (&world.app.store, &world.app.metrics.sql_statements);
    for name in ["none parked", "parked", "parked meanwhile"] {
        world.enroll(name, "ubuntu").await;
    }
    let name = Name::Detail(details::for_platform("ubuntu").next().unwrap().name);
    let park = async |host_id| {
        let (reason, parked_at) = (String::new(), Moment(1_600_000_000_000_000));
        let row = parked_queries::Model { host_id, name: name.to_string(), reason, parked_at };
        store.write(async |tx| store::parked_queries::park(tx, row.clone()).await).await.unwrap();
    };
    let asker = Asker::new(LEISURELY_SPACING);
    let wanted = request(&world, 1).await;
    let before = statements.get();
    assert!(asker.ask(store, wanted).await.unwrap().names.contains(&name));
    assert_eq!(statements.get() - before, 2, "the row is read and noted");

    park(2).await;
    let given = asker.ask(store, request(&world, 2).await).await.unwrap();
    assert!(!given.names.is_empty() && !given.names.contains(&name), "{given:?}");

    // Whoever parks a question changes the record. The row as it is read may say so before it says that there is one.
    let wanted = request(&world, 3).await;
    let changed = RefreshRecord { label_updated_at: Moment(1), ..record(store, 3).await };
    let change = async |tx: &store::Tx| store::reports::set_asked(tx, [changed.clone()]).await;
    store.write(change).await.unwrap();
    park(3).await;
    let row = AskedHost { record: changed, has_parked: false };
    let locked = HashMap::from([(3, row)]);
    let parked = store.write(async |tx| parked_of(tx, &[&wanted], &locked).await).await.unwrap();
    assert_eq!(parked[&3].len(), 1);
    let given = asker.ask(store, wanted).await.unwrap();
    assert!(!given.names.is_empty() && !given.names.contains(&name), "{given:?}");
}

#[actix_web::test]
async fn an_agent_has_its_time_from_when_it_is_asked() {
    let world = World::new().await;
    world.enroll("h", "ubuntu").await;
    let waited = Duration::from_secs(4);
    let wanted = request(&world, 1).await;
    let wanted = RefreshRequest { since: wanted.since.checked_sub(waited).unwrap(), ..wanted };
    let (asked_at, store) = (wanted.now, &world.app.store);
    Asker::new(LEISURELY_SPACING).ask(store, wanted).await.unwrap();
    let round = Round::of_text(&record(store, 1).await.open_round.unwrap()).unwrap();
    assert_eq!(round.waits_until(), asked_at.plus(waited).plus(crate::fleet::checkin::RETRY_WINDOW));
}

#[actix_web::test]
async fn hosts_that_nobody_waits_for_have_leisure() {
    let world = World::new().await;
    world.enroll("h", "ubuntu").await;
    let asker = Asker::new(Duration::from_secs(1));
    let new = request(&world, 1).await;
    assert_eq!(asker.leisure(&new), SPACING);
    let asked_at = Moment(1_600_000_000_000_000);
    let record = record(&world.app.store, 1).await;
    let known = RefreshRecord { detail_updated_at: asked_at, label_updated_at: asked_at, ..record };
    let wanted = |record| RefreshRequest {
        check: RefreshCheck::of(record, &new.plan, INTERVALS, asked_at.plus(INTERVALS.details * 2)),
        ..new.clone()
    };
    assert_eq!(asker.leisure(&wanted(known.clone())), Duration::from_secs(1));
    assert_eq!(asker.leisure(&wanted(RefreshRecord { refetch_requested: true, ..known })), SPACING);
}

#[actix_web::test]
async fn a_live_query_does_not_wait_until_a_host_is_asked_about_itself() {
    let world = World::new().await;
    let (fleet, store) = (&world.app.fleet, &world.app.store);
    let asked_at = Moment(1_500_000_000_000_000);
    let mut hosts = Vec::new();
    for name in ["a", "b", "waits"] {
        let key = world.enroll(name, "ubuntu").await;
        let Authenticated::Host(host) = fleet.hosts.authenticate(&key).await.unwrap() else { panic!("{name}") };
        let record = record(store, host.id).await;
        let long_known = RefreshRecord { detail_updated_at: asked_at, label_updated_at: asked_at, ..record };
        let write = async |tx: &store::Tx| store::reports::set_asked(tx, [long_known.clone()]).await;
        store.write(write).await.unwrap();
        host.refresh_state.take_over(&long_known);
        hosts.push(host);
    }
    let waits = hosts.pop().unwrap();
    // As they come together, the next one waits for others.
    for answer in join_all(hosts.iter().map(|host| fleet.checkin.read(host))).await {
        assert_ne!(answer, NO_WORK);
    }
    let mut read = pin!(fleet.checkin.read(&waits));
    assert!((&mut read).now_or_never().is_none());
    let query = json!({ "query": "SELECT 1", "targets": { "hosts": ["waits"] } });
    world.post("live_queries", query).await.expect(200);
    let answer = String::from_utf8(read.await.to_vec()).unwrap();
    assert!(answer.contains(crate::fleet::live::PREFIX), "{answer}");
    assert!(!has_round(store, waits.id).await, "it was not asked about itself");
}

/// With SQLite, whoever writes waits for the one who writes: here for longer than a batch may take.
#[actix_web::test]
async fn questions_are_taken_back_also_by_a_batch_that_has_taken_too_long() {
    let world = World::new().await;
    let store = &world.app.store;
    if !store.shows_every_commit() {
        return;
    }
    world.enroll("first", "ubuntu").await;
    let mut batches = Batches::new(BATCH, MAX_WAITING, SPACING);
    batches.longest = Duration::from_millis(500);
    let asker = Arc::new(Asker { awaited: Arc::new(batches), ..Asker::new(LEISURELY_SPACING) });
    let (release, holder) = hold(store).await;
    let first = {
        let (asker, store, wanted) = (Arc::clone(&asker), store.clone(), request(&world, 1).await);
        spawn_local(async move { asker.ask(&store, wanted).await })
    };
    until(|| asker.awaited.state() == (0, true)).await;
    let again = {
        let store = store.clone();
        spawn_local(async move { hold(&store).await })
    };
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    drop(release);
    holder.await.unwrap();
    let (release, holder) = again.await.unwrap();
    assert!(has_round(store, 1).await, "the batch has written it");
    until(|| !asker.awaited.state().1).await;
    drop(release);
    holder.await.unwrap();
    while has_round(store, 1).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
