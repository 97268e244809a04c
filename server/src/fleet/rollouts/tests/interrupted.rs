//! Nodes that end in the middle of a step.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_api::rest::RolloutState;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use super::fleet::{CHEAPER, HEAVY, SimulatedFleet, count, rollout};
use crate::tests::world::World;

/// The leader's look on another node, which ends at whatever it waits for by then.
async fn cut_short(world: &World, seconds: u64, polls: u32) {
    let node = world.beside().await;
    node.app.fleet.clock.advance(Duration::from_secs(seconds));
    tokio::select! {
        biased;
        // Of two nodes one loses the race, or the database is held by the other.
        _ = node.app.fleet.rollouts.keep() => {}
        () = async { for _ in 0..polls { tokio::task::yield_now().await; } } => {}
    }
}

/// Takes a rollout to its end while nodes end in the middle of its steps, with the decisions that were made.
async fn through_interruptions(sql: &str, cuts: u32, seed: u64) -> (RolloutState, Vec<String>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut fleet = SimulatedFleet::start(30).await;
    let mut elapsed = 2 * 3600 + 60;
    fleet.world.apply(json!([rollout("cut", sql, &[20.0, 50.0, 100.0])])).await;
    let mut left = cuts;
    for _ in 0..40 {
        fleet.run().await;
        elapsed += 3600;
        let some = left.min(cuts.div_ceil(6));
        left -= some;
        for _ in 0..some {
            cut_short(&fleet.world, elapsed, random.random_range(0..400)).await;
            let status = fleet.status("cut").await;
            let kinds: Vec<&str> = status.decisions.iter().map(|decision| decision.kind.as_str()).collect();
            let advanced = kinds.iter().filter(|kind| **kind == "advanced").count();
            assert_eq!(advanced as i64, status.stage, "a step and its decision are one: {kinds:?}");
            let is_over = kinds.iter().any(|kind| matches!(*kind, "done" | "halted"));
            assert_eq!(is_over, status.state != RolloutState::Running, "{kinds:?}");
        }
        fleet.world.app.fleet.follow().await.unwrap();
        fleet.world.app.fleet.hosts.compare_directory().await.unwrap();
        fleet.world.app.fleet.rollouts.keep().await.unwrap();
        if fleet.status("cut").await.state != RolloutState::Running {
            break;
        }
    }
    if sql == HEAVY {
        let had: BTreeSet<i64> = fleet.served(HEAVY);
        assert!(!had.is_empty() && had.len() < 20, "{had:?}");
    }
    let status = fleet.status("cut").await;
    assert!(fleet.world.app.fleet.schedule.plan().rollouts.is_empty(), "{status:?}");
    (status.state, status.decisions.into_iter().map(|decision| decision.kind).collect())
}

#[actix_web::test]
async fn nodes_that_end_in_the_middle_of_a_step_change_neither_a_good_rollout_nor_a_bad_one() {
    let cuts = count(6, 50) as u32;
    let (state, kinds) = through_interruptions(CHEAPER, cuts, 17).await;
    assert_eq!(
        (state, kinds),
        (RolloutState::Done, ["began", "advanced", "advanced", "done"].map(str::to_owned).to_vec())
    );
    let (state, kinds) = through_interruptions(HEAVY, cuts, 18).await;
    assert_eq!((state, kinds), (RolloutState::Reverted, ["began", "halted"].map(str::to_owned).to_vec()));
}
