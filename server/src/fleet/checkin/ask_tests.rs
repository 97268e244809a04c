use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use super::*;
use crate::lock::lock;
use crate::tests::world::World;

const INTERVALS: due::RefreshIntervals =
    due::RefreshIntervals { details: Duration::from_secs(3600), labels: Duration::from_secs(3600) };

async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Locks the rows of these hosts until the sender is dropped.
async fn hold(store: &Store, host_ids: [i64; 3]) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (store, (release, released), (said, held)) = (store.clone(), oneshot::channel::<()>(), oneshot::channel());
    let task = spawn_local(async move {
        let once = Mutex::new(Some((said, released)));
        let outcome = store.write(async |tx| {
            asked_alone(tx, &host_ids).await?;
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

/// The batch of two hosts is under way when the request of the first is given up.
#[actix_web::test]
async fn a_request_that_is_given_up_takes_nothing_from_the_others_in_its_batch() {
    let world = World::new().await;
    for name in ["first", "second", "third"] {
        world.enroll(name, "ubuntu").await;
    }
    let (store, asker) = (&world.app.store, Arc::new(Asker::default()));
    let ask = |wanted: RefreshRequest| {
        let (asker, store) = (Arc::clone(&asker), store.clone());
        spawn_local(async move { asker.ask(&store, wanted).await })
    };
    let state = || asker.0.state();

    let (release, holder) = hold(store, [1, 2, 3]).await;
    let first = ask(request(&world, 1).await);
    until(|| state() == (0, true)).await;
    let (second, third) = (ask(request(&world, 2).await), ask(request(&world, 3).await));
    until(|| state().0 == 2).await;
    let again = {
        let store = store.clone();
        spawn_local(async move { hold(&store, [1, 2, 3]).await })
    };
    tokio::task::yield_now().await;
    drop(release);
    holder.await.unwrap();
    assert!(!first.await.unwrap().unwrap().names.is_empty());
    let (release, holder) = again.await.unwrap();
    until(|| state().0 == 0).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    drop(release);
    holder.await.unwrap();

    let given = third.await.unwrap().unwrap();
    assert!(!given.names.is_empty(), "the third host gets its questions: {given:?}");
    // Nobody has the questions of the second: they are open again, and not lost.
    let mut is_taken_back = false;
    while !is_taken_back {
        is_taken_back = record(store, 2).await.open_round.is_none();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(record(store, 3).await.open_round.is_some());
    let given = asker.ask(store, request(&world, 2).await).await.unwrap();
    assert!(given.names.len() > 1, "all questions in one read: {given:?}");
}
