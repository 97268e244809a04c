use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use super::*;
use crate::lock::lock;
use crate::tests::world::World;

const INTERVALS: due::RefreshIntervals =
    due::RefreshIntervals { details: Duration::from_secs(3600), labels: Duration::from_secs(3600), statistics: None };

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
    RefreshRequest { host_id, platform: "ubuntu".into(), plan, intervals: INTERVALS, now, check }
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
    let given = Asker::default().ask(store, request(&world, 1).await).await.unwrap();
    assert!(given.names.len() > 1, "all questions in one read: {given:?}");
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
    let asker = Arc::new(Asker(Arc::new(batches)));
    let (release, holder) = hold(store).await;
    let first = {
        let (asker, store, wanted) = (Arc::clone(&asker), store.clone(), request(&world, 1).await);
        spawn_local(async move { asker.ask(&store, wanted).await })
    };
    until(|| asker.0.state() == (0, true)).await;
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
    until(|| !asker.0.state().1).await;
    drop(release);
    holder.await.unwrap();
    while has_round(store, 1).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
