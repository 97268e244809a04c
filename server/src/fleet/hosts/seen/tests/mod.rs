//! Nodes that share last-seen times, on their own and over a database.

mod cost;
mod repairs;
mod simulation;
mod times;
mod wires;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;

use self::simulation::{HOSTS, Lack, Phase, Simulation};
use self::wires::Fault;
use crate::fleet::hosts::presence::is_online;
use crate::store::nodes;

#[tokio::test]
async fn views_are_never_ahead_and_never_far_behind_whatever_happens() {
    let mut checked = BTreeMap::<Phase, usize>::new();
    for seed in 0..8 {
        // Clocks may differ by as much as leases allow.
        let ahead = if seed % 2 == 0 { [0; 3] } else { [0, 4, 2] };
        let mut simulation = Simulation::new(seed, &ahead).await;
        for _ in 0..500 {
            for host in HOSTS {
                if simulation.random.random_ratio(1, 8) {
                    let node = simulation.random.random_range(0..3);
                    simulation.check_in(host, node);
                }
            }
            let at = simulation.random.random_range(0..3);
            match simulation.random.random_range(0..400) {
                0..=1 if !simulation.is_anything_lacking() => {
                    let faults = [Fault::CutOff, Fault::Mute, Fault::Deaf];
                    let fault = faults[simulation.random.random_range(0..faults.len())];
                    simulation.set_fault(at, fault);
                }
                2 if !simulation.is_anything_lacking() => {
                    (0..3).for_each(|at| simulation.set_fault(at, Fault::CutOff));
                }
                // A node that reaches neither the others nor the database is on its own.
                3..=4 if !simulation.is_disturbed() => simulation.set_lack(at, Lack::Database),
                5..=14 => (0..3).for_each(|at| {
                    simulation.set_fault(at, Fault::None);
                    simulation.set_lack(at, Lack::Nothing);
                }),
                15 => simulation.kill(&[at]).await,
                16 => simulation.kill(&[0, 1, 2]).await,
                _ => {}
            }
            simulation.second().await;
        }
        for (phase, times) in simulation.checked {
            *checked.entry(phase).or_default() += times;
        }
    }
    assert!(checked.len() == 3 && checked.values().all(|times| *times > 2_000), "{checked:?}");
}

/// Each host calls the same node every ten seconds; the others hear of it only through the database.
#[tokio::test]
async fn no_host_seems_offline_while_the_bus_is_away() {
    let mut simulation = Simulation::new(0, &[0; 3]).await;
    for second in 0..360 {
        if second == 60 {
            (0..3).for_each(|at| simulation.set_fault(at, Fault::CutOff));
        }
        for (host, node) in HOSTS.into_iter().zip((0..3).cycle()) {
            if second % 10 == host % 10 {
                simulation.check_in(host, node);
            }
        }
        simulation.second().await;
        let now = simulation.now();
        for (at, host) in (0..3).flat_map(|at| HOSTS.map(|host| (at, host))).filter(|_| second >= 30) {
            let seen = simulation.nodes[at].seen(host);
            assert!(is_online(10, 0, seen, now), "node {at}, host {host} at {second}: {seen:?}");
        }
    }
}

/// A leader that is cut off from the database keeps its lease for a while, whenever that happens between two times that it
/// stores pages.
#[tokio::test]
async fn a_leader_without_the_database_costs_no_more_than_any_crash() {
    for cut_off_at in (90..140).step_by(7) {
        let mut simulation = Simulation::new(0, &[0; 3]).await;
        for second in 0..cut_off_at + 100 {
            if second == cut_off_at {
                let leader = simulation.nodes.iter().position(|node| node.hosts.node.is_leader());
                simulation.set_lack(leader.unwrap(), Lack::Database);
            }
            simulation.check_in(HOSTS[second % HOSTS.len()], second % 3);
            simulation.second().await;
            if second >= cut_off_at {
                simulation.check_stored().await;
            }
        }
    }
}

/// It is not known to be alive by what it reports of keys.
#[tokio::test]
async fn a_node_that_cannot_read_the_feed_shares_its_times_through_the_database() {
    let mut simulation = Simulation::new(0, &[0; 2]).await;
    let started_at = simulation.now();
    simulation.set_lack(1, Lack::Feed);
    for _ in 0..200 {
        simulation.second().await;
    }
    (0..2).for_each(|at| simulation.set_fault(at, Fault::CutOff));
    for second in 0..200 {
        simulation.check_in(HOSTS[second % HOSTS.len()], second % 2);
        simulation.second().await;
    }
    // Keys that it may know to be in use are kept, however long it is alive.
    let store = &simulation.world.app.store;
    let gone_before = simulation.now().minus(Duration::from_secs(300));
    store.write(async |tx| nodes::forget_gone(tx, gone_before).await).await.unwrap();
    assert_eq!(nodes::written_by_all(store.reader(), gone_before).await.unwrap(), Some(started_at));
}

#[tokio::test]
async fn a_graceful_stop_loses_nothing_and_quiet_nodes_write_nothing() {
    let mut simulation = Simulation::new(0, &[0; 2]).await;
    for _ in 0..120 {
        simulation.second().await;
    }
    let metrics = Arc::clone(&simulation.world.app.metrics);
    let written = || metrics.rows_written.get();
    for host in HOSTS {
        simulation.nodes[1].hosts.index.seen.page_of(host).mark(host, simulation.now());
    }
    let (before, now) = (written(), simulation.now());
    simulation.nodes[1].stop().await;
    assert!(written() - before <= 3 + 2, "three pages, the lease and the node");
    simulation.restart(1).await;
    let restarted = &simulation.nodes[1];
    assert_eq!(HOSTS.map(|host| restarted.seen(host)), HOSTS.map(|_| now));
    restarted.stop().await;
    let before = metrics.sql_statements.get();
    let pages = written();
    restarted.hosts.keep_seen(true).await.unwrap();
    assert_eq!(written(), pages, "nothing is new");
    assert!(metrics.sql_statements.get() - before <= 2);
}
