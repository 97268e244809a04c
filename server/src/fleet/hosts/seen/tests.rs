//! Several nodes over one database and one bus that check-ins, kills and faults of the bus happen to, in any order. Their
//! views are compared with the truth every second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sea_orm::{ConnectionTrait as _, Set};

use super::Hosts;
use crate::bus::{BusError, BusFuture, ChangeEvent, ChangeEvents, LocalNotifier, NodeMessages, Notifier};
use crate::clock::Moment;
use crate::config::Osquery;
use crate::fleet::Node;
use crate::fleet::hosts::NodeKey;
use crate::lock::lock;
use crate::store::{self, entity};
use crate::telemetry::Metrics;
use crate::tests::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// How often nodes do their periodic work.
const PERIOD: u64 = 5;

/// Hosts in three pages.
const HOSTS: [i64; 6] = [1, 2, 40_000, 40_001, 70_000, 98_303];

/// How long after a fault or a start views may be as far behind as without messages.
const MENDED_AFTER: Duration = Duration::from_secs(60);

/// How long after its start a node may know only what was stored.
const STARTED_FOR: Duration = Duration::from_secs(40);

/// What happens between a node and the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fault {
    #[default]
    None,
    /// Sending fails, and nothing is heard.
    CutOff,
    /// What is sent reaches nobody, without an error.
    Mute,
    /// Nothing is heard, without an error.
    Deaf,
}

/// The bus between the nodes of a test, with a fault for each.
#[derive(Debug, Default)]
struct Wires(Mutex<Vec<(Fault, LocalNotifier)>>);

#[derive(Debug)]
struct Wire {
    at: usize,
    here: LocalNotifier,
    wires: Arc<Wires>,
}

impl Notifier for Wire {
    fn publish(&self, event: ChangeEvent) {
        self.here.publish(event);
    }

    fn subscribe(&self) -> ChangeEvents {
        self.here.subscribe()
    }

    fn send(&self, message: Bytes) -> BusFuture<'_, ()> {
        let wires = lock(&self.wires.0);
        let sent = match wires[self.at].0 {
            Fault::CutOff => Err(BusError::Unavailable("cut off".to_owned())),
            Fault::Mute => Ok(()),
            Fault::None | Fault::Deaf => {
                let hearing = wires.iter().filter(|(fault, _)| matches!(fault, Fault::None | Fault::Mute));
                hearing.for_each(|(_, wire)| wire.deliver_message(message.clone()));
                Ok(())
            }
        };
        Box::pin(std::future::ready(sent))
    }

    fn messages(&self) -> NodeMessages {
        self.here.messages()
    }
}

struct SimulatedNode {
    hosts: Hosts,
    messages: NodeMessages,
    started_at: Moment,
}

impl SimulatedNode {
    async fn start(world: &World, wires: &Arc<Wires>, at: usize) -> Self {
        let fleet = &world.app.fleet;
        let (store, clock, here) = (world.app.store.clone(), fleet.clock.clone(), LocalNotifier::default());
        {
            let mut wires = lock(&wires.0);
            let count = wires.len().max(at + 1);
            wires.resize(count, Default::default());
            wires[at].1 = here.clone();
        }
        let notifier = Arc::new(Wire { at, here, wires: Arc::clone(wires) });
        let node = Arc::new(Node::new(store.clone(), clock.clone(), true));
        let (config, metrics) = (Osquery::default(), Arc::new(Metrics::new().unwrap()));
        let messages = notifier.messages();
        let schedule = Arc::clone(&fleet.schedule);
        let hosts = Hosts::new(store, clock.clone(), config, schedule, metrics, node, notifier);
        hosts.load_seen().await.unwrap();
        Self { hosts, messages, started_at: clock.now() }
    }

    fn hear(&mut self) {
        while let Some(message) = self.messages.next().now_or_never() {
            self.hosts.take_over_seen(&message);
        }
    }

    async fn work(&self) {
        self.hosts.node.renew_lease().await.unwrap();
        self.hosts.follow().await.unwrap();
        self.hosts.keep_seen(false).await.unwrap();
        self.hosts.share_seen().await;
        self.hosts.write_key_uses(false).await.unwrap();
    }

    async fn stop(&self) {
        self.hosts.share_seen().await;
        self.hosts.keep_seen(true).await.unwrap();
        self.hosts.node.leave().await.unwrap();
    }

    fn seen(&self, host: i64) -> Moment {
        self.hosts.seen_by_any(host, Moment::NEVER)
    }
}

/// Check-ins of one host, latest last. What only a killed node may have known need not be known by anybody.
#[derive(Debug, Default)]
struct CheckIns(Vec<(Moment, usize, bool)>);

impl CheckIns {
    fn latest(&self) -> Moment {
        self.0.last().map_or(Moment::NEVER, |(at, ..)| *at)
    }

    fn latest_known(&self, until: Moment) -> Moment {
        let known = self.0.iter().filter(|(at, _, is_known)| *is_known && *at <= until);
        known.map(|(at, ..)| *at).max().unwrap_or(Moment::NEVER)
    }
}

struct Simulation {
    world: World,
    wires: Arc<Wires>,
    nodes: Vec<SimulatedNode>,
    check_ins: BTreeMap<i64, CheckIns>,
    disturbed_at: Moment,
    random: StdRng,
    seed: u64,
}

impl Simulation {
    async fn new(seed: u64, count: usize) -> Self {
        let (world, wires) = (World::new().await, Arc::<Wires>::default());
        let mut nodes = Vec::new();
        for at in 0..count {
            nodes.push(SimulatedNode::start(&world, &wires, at).await);
        }
        let disturbed_at = world.app.fleet.clock.now();
        let check_ins = HOSTS.into_iter().map(|host| (host, CheckIns::default())).collect();
        Self { world, wires, nodes, check_ins, disturbed_at, random: StdRng::seed_from_u64(seed), seed }
    }

    fn now(&self) -> Moment {
        self.world.app.fleet.clock.now()
    }

    fn set_fault(&mut self, at: usize, fault: Fault) {
        lock(&self.wires.0)[at].0 = fault;
        self.disturbed_at = self.now();
    }

    fn is_disturbed(&self) -> bool {
        lock(&self.wires.0).iter().any(|(fault, _)| *fault != Fault::None)
            || self.now().since(self.disturbed_at) < MENDED_AFTER
    }

    fn check_in(&mut self, host: i64, node: usize) {
        let now = self.now();
        self.nodes[node].hosts.index.seen.slot(host).mark(now);
        self.check_ins.entry(host).or_default().0.push((now, node, true));
    }

    /// As after `kill -9` and a new start: what the node knew alone is lost.
    async fn kill(&mut self, killed: &[usize]) {
        let now = self.now();
        // While others live, they know all but the latest.
        let lost = if killed.len() == self.nodes.len() { 75 } else { 45 };
        let survives = now.minus(Duration::from_secs(lost));
        for (at, node, is_known) in self.check_ins.values_mut().flat_map(|check_ins| &mut check_ins.0) {
            *is_known &= *at <= survives || !killed.contains(node) && killed.len() < self.nodes.len();
        }
        for at in killed {
            self.nodes[*at] = SimulatedNode::start(&self.world, &self.wires, *at).await;
        }
        self.disturbed_at = now;
    }

    async fn second(&mut self) {
        self.work_for_a_second().await;
        self.check();
    }

    async fn work_for_a_second(&mut self) {
        self.world.app.fleet.clock.advance(SECOND);
        let second = self.now().0 as u64 / 1_000_000;
        for at in 0..self.nodes.len() {
            if (second + 2 * at as u64).is_multiple_of(PERIOD) {
                self.nodes[at].work().await;
                self.nodes.iter_mut().for_each(SimulatedNode::hear);
            }
        }
    }

    fn check(&self) {
        let (now, is_disturbed) = (self.now(), self.is_disturbed());
        // Times are those of the start of what a message is about.
        let rounding = Duration::from_secs(PERIOD + 1);
        for (at, node) in self.nodes.iter().enumerate() {
            let is_new = now.since(node.started_at) < STARTED_FOR;
            let behind = Duration::from_secs(match (is_new, is_disturbed) {
                (true, _) => 75,
                (false, true) => 45,
                (false, false) => 15,
            });
            for (host, check_ins) in &self.check_ins {
                let (seen, truth) = (node.seen(*host), check_ins.latest());
                let what = || format!("seed {}, node {at}, host {host}, {now:?}, {check_ins:?}", self.seed);
                assert!(seen <= truth, "ahead of the truth at {seen:?}: {}", what());
                let known = check_ins.latest_known(now.minus(behind.saturating_sub(rounding)));
                assert!(seen.plus(rounding) >= known, "more than {behind:?} behind at {seen:?}: {}", what());
            }
        }
    }
}

#[tokio::test]
async fn views_are_never_ahead_and_never_far_behind_whatever_happens() {
    for seed in 0..8 {
        let mut simulation = Simulation::new(seed, 3).await;
        for _ in 0..400 {
            for host in HOSTS {
                if simulation.random.random_ratio(1, 8) {
                    let node = simulation.random.random_range(0..3);
                    simulation.check_in(host, node);
                }
            }
            let at = simulation.random.random_range(0..3);
            match simulation.random.random_range(0..400) {
                0..=5 => {
                    let faults = [Fault::CutOff, Fault::Mute, Fault::Deaf];
                    let fault = faults[simulation.random.random_range(0..faults.len())];
                    simulation.set_fault(at, fault);
                }
                6 => (0..3).for_each(|at| simulation.set_fault(at, Fault::CutOff)),
                7..=16 => (0..3).for_each(|at| simulation.set_fault(at, Fault::None)),
                17 => simulation.kill(&[at]).await,
                18 => simulation.kill(&[0, 1, 2]).await,
                _ => {}
            }
            simulation.second().await;
        }
    }
}

/// Each host calls the same node every ten seconds; the others hear of it only through the database.
#[tokio::test]
async fn no_host_seems_offline_while_the_bus_is_away() {
    let mut simulation = Simulation::new(0, 2).await;
    for _ in 0..60 {
        simulation.second().await;
    }
    (0..2).for_each(|at| simulation.set_fault(at, Fault::CutOff));
    for second in 0..300 {
        for (host, node) in HOSTS.into_iter().zip([0, 1].into_iter().cycle()) {
            if second % 10 == host % 10 {
                simulation.check_in(host, node);
            }
        }
        simulation.second().await;
        let now = simulation.now();
        for (at, host) in HOSTS.into_iter().flat_map(|host| [(0, host), (1, host)]).filter(|_| second > 60) {
            let seen = simulation.nodes[at].seen(host);
            assert!(
                crate::fleet::hosts::presence::is_online(10, 0, seen, now),
                "node {at}, host {host} at {second}: {seen:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_graceful_stop_loses_nothing_and_quiet_nodes_write_nothing() {
    let mut simulation = Simulation::new(0, 2).await;
    for _ in 0..120 {
        simulation.second().await;
    }
    let written = || simulation.world.app.metrics.rows_written.get();
    for host in HOSTS {
        simulation.nodes[1].hosts.index.seen.slot(host).mark(simulation.now());
    }
    let (before, now) = (written(), simulation.now());
    simulation.nodes[1].stop().await;
    assert!(written() - before <= 3 + 2, "three pages, the lease and the node");
    let restarted = SimulatedNode::start(&simulation.world, &simulation.wires, 1).await;
    assert_eq!(HOSTS.map(|host| restarted.seen(host)), HOSTS.map(|_| now));
    restarted.stop().await;
    let before = simulation.world.app.metrics.sql_statements.get();
    let pages = written();
    restarted.hosts.keep_seen(true).await.unwrap();
    assert_eq!(written(), pages, "nothing is new");
    assert!(simulation.world.app.metrics.sql_statements.get() - before <= 2);
}

/// Hosts that check in every ten seconds with any of the nodes. Prints what that costs:
/// `cargo test -p muster --lib check_ins_cost -- --nocapture`.
#[tokio::test]
async fn check_ins_cost_few_statements_and_rows_at_any_number_of_nodes() {
    const COUNT: usize = 1_000;
    for (nodes, has_older_node) in [(1, false), (2, false), (4, false), (1, true), (2, true)] {
        let mut simulation = Simulation::new(0, nodes).await;
        let store = &simulation.world.app.store;
        let now = simulation.now();
        let keys: Vec<String> = (1..=COUNT).map(|host| format!("key-{host}")).collect();
        let host = |key: &String| entity::hosts::ActiveModel {
            identifier: Set(key.clone()),
            claimed_identifier: Set(key.clone()),
            ..Default::default()
        };
        store.write(async |tx| store::hosts::insert_many(tx, keys.iter().map(host).collect()).await).await.unwrap();
        let ids = store::hosts::ids_of(store.reader(), &keys).await.unwrap();
        let add_keys = store.write(async |tx| {
            let row = |key: &String| entity::node_keys::Model {
                key_hash: NodeKey::hash(key).to_vec(),
                host_id: ids[key],
                instance_id: String::new(),
                created_at: now,
                used_at: None,
                first_used_at: None,
            };
            store::enrollments::insert_keys(tx, keys.iter().map(row).collect()).await
        });
        add_keys.await.unwrap();
        if has_older_node {
            let older = format!("INSERT INTO replicas (id, written_at) VALUES ('older', {})", now.0);
            store.write(async |tx| Ok(tx.execute_unprepared(&older).await.map(drop)?)).await.unwrap();
        }
        let (mut requests, mut before) = (0, None);
        for second in 0..540 {
            let metrics = &simulation.world.app.metrics;
            if second == 240 {
                before = Some((metrics.sql_statements.get(), metrics.rows_written.get()));
                requests = 0;
            }
            for key in keys.iter().skip(second % 10).step_by(10) {
                let node = simulation.random.random_range(0..nodes);
                simulation.nodes[node].hosts.authenticate(key).await.unwrap();
                requests += 1;
            }
            simulation.work_for_a_second().await;
        }
        let metrics = &simulation.world.app.metrics;
        let (statements, rows) = before.unwrap();
        let (statements, rows) = (metrics.sql_statements.get() - statements, metrics.rows_written.get() - rows);
        let per_thousand = |number: u64| number as f64 * 1_000.0 / f64::from(requests);
        eprintln!(
            "{nodes} nodes, older node: {has_older_node}: {requests} requests, {:.1} statements and {:.1} rows per 1,000",
            per_thousand(statements),
            per_thousand(rows)
        );
        if !has_older_node {
            assert!(per_thousand(rows) <= 20.0);
            assert!(
                statements <= 300 * 2 * nodes as u64,
                "two statements a second at each node, whatever the requests"
            );
        }
    }
}
