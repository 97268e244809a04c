//! Requests that start a live query and are given up, as when their client goes away.

use std::collections::BTreeSet;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use muster_api::rest::{LiveTargets, NewLiveQuery};

use crate::store;
use crate::tests::world::World;

/// Longest wait for what goes on after a request was given up.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_start_that_is_given_up_at_any_moment_leaves_no_row_that_nobody_holds() {
    let world = World::new().await;
    world.enroll("one", "ubuntu").await;
    let fleet = &world.app.fleet;
    let principal = fleet.access.authenticate(&world.token).await.unwrap();
    let request = NewLiveQuery {
        query: Some("SELECT 1".to_owned()),
        query_name: None,
        discovery: None,
        targets: LiveTargets { all: true, ..LiveTargets::default() },
        max_hosts: None,
        percent: None,
        deadline_seconds: None,
    };
    let mut has_ended = false;
    for polls in (1..).take_while(|polls| *polls < 200) {
        if has_ended {
            break;
        }
        let mut starting = pin!(fleet.live.start(&principal, &request));
        let mut left = polls;
        has_ended = std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(false);
            }
            left -= 1;
            starting.as_mut().poll(context).map(|started| started.is_ok())
        })
        .await;
    }
    assert!(has_ended, "a start needs fewer steps");
    let deadline = Instant::now() + SOON;
    loop {
        fleet.live.look().await.unwrap();
        let rows = store::live_queries::open(world.app.store.reader()).await.unwrap();
        let rows: BTreeSet<i64> = rows.into_iter().map(|row| row.id).collect();
        let held: BTreeSet<i64> = fleet.live.open_jobs().iter().map(|job| job.id).collect();
        if rows == held && !rows.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "open rows {rows:?}, held {held:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
