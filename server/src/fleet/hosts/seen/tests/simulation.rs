//! Several nodes over one database and one bus, with a clock each, that check-ins, kills and faults happen to. Their views are
//! compared with the truth every second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::wires::{Fault, Wire, Wires};
use crate::bus::{LocalNotifier, NodeMessages, Notifier};
use crate::clock::{Clock, Moment};
use crate::config::Osquery;
use crate::fleet::Node;
use crate::fleet::hosts::Hosts;
use crate::fleet::hosts::seen::{SeenTimes, stored};
use crate::lock::lock;
use crate::store::seen_pages;
use crate::telemetry::Metrics;
use crate::tests::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// How often nodes do their periodic work.
const PERIOD: u64 = 5;

/// Hosts in three pages.
pub const HOSTS: [i64; 6] = [1, 2, 40_000, 40_001, 70_000, 98_303];

/// How long after a fault or a start views may be as far behind as without messages.
const MENDED_AFTER: Duration = Duration::from_secs(60);

/// How long after its start a node may know only what was stored.
const STARTED_FOR: Duration = Duration::from_secs(40);

pub struct SimulatedNode {
    pub hosts: Hosts,
    messages: NodeMessages,
    started_at: Moment,
    lacks: Lack,
}

/// What a node does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    Nothing,
    /// The database does not answer it.
    Database,
    /// The database answers, but reading the feed fails.
    Feed,
}

impl SimulatedNode {
    async fn start(world: &World, wires: &Arc<Wires>, at: usize, clock: Clock) -> Self {
        let fleet = &world.app.fleet;
        let (store, here) = (world.app.store.clone(), LocalNotifier::default());
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
        Self { hosts, messages, started_at: fleet.clock.now(), lacks: Lack::Nothing }
    }

    fn hear(&mut self) {
        while let Some(message) = self.messages.next().now_or_never() {
            self.hosts.take_over_seen(&message);
        }
    }

    async fn work(&self) {
        if self.lacks == Lack::Database {
            self.hosts.share_seen().await;
            return;
        }
        self.hosts.node.renew_lease(true).await.unwrap();
        if self.lacks != Lack::Feed {
            self.hosts.follow(None).await.unwrap();
        }
        self.hosts.keep_seen(false).await.unwrap();
        self.hosts.share_seen().await;
        self.hosts.write_key_uses(false).await.unwrap();
    }

    pub async fn stop(&self) {
        self.hosts.share_seen().await;
        self.hosts.keep_seen(true).await.unwrap();
        self.hosts.node.leave().await.unwrap();
    }

    pub fn seen(&self, host: i64) -> Moment {
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

/// What a check of a view was about: a node in its first seconds, a disturbance, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    New,
    Disturbed,
    Quiet,
}

pub struct Simulation {
    pub world: World,
    wires: Arc<Wires>,
    clocks: Vec<Clock>,
    pub nodes: Vec<SimulatedNode>,
    check_ins: BTreeMap<i64, CheckIns>,
    disturbed_at: Moment,
    /// How often a view was compared with check-ins.
    pub checked: BTreeMap<Phase, usize>,
    pub random: StdRng,
    seed: u64,
}

impl Simulation {
    /// Nodes whose clocks are ahead by these seconds.
    pub async fn new(seed: u64, ahead: &[u64]) -> Self {
        let (world, wires) = (World::new().await, Arc::<Wires>::default());
        let now = world.app.fleet.clock.now();
        let clocks: Vec<_> = ahead.iter().map(|ahead| Clock::manual(now.plus(SECOND * *ahead as u32))).collect();
        let mut nodes = Vec::new();
        for (at, clock) in clocks.iter().enumerate() {
            nodes.push(SimulatedNode::start(&world, &wires, at, clock.clone()).await);
        }
        let check_ins = HOSTS.into_iter().map(|host| (host, CheckIns::default())).collect();
        let (checked, random) = (BTreeMap::new(), StdRng::seed_from_u64(seed));
        Self { world, wires, clocks, nodes, check_ins, disturbed_at: now, checked, random, seed }
    }

    pub fn now(&self) -> Moment {
        self.world.app.fleet.clock.now()
    }

    pub fn set_fault(&mut self, at: usize, fault: Fault) {
        let before = std::mem::replace(&mut lock(&self.wires.0)[at].0, fault);
        if before != fault {
            self.disturbed_at = self.now();
        }
    }

    pub fn set_lack(&mut self, at: usize, lack: Lack) {
        self.nodes[at].lacks = lack;
    }

    /// Whether some node does without something.
    pub fn is_anything_lacking(&self) -> bool {
        self.nodes.iter().any(|node| node.lacks != Lack::Nothing)
    }

    pub fn is_disturbed(&self) -> bool {
        lock(&self.wires.0).iter().any(|(fault, _)| *fault != Fault::None)
            || self.now().since(self.disturbed_at) < MENDED_AFTER
    }

    pub fn check_in(&mut self, host: i64, node: usize) {
        let (now, clock) = (self.now(), self.clocks[node].now());
        self.nodes[node].hosts.index.seen.page_of(host).mark(host, clock);
        self.check_ins.entry(host).or_default().0.push((now, node, true));
    }

    /// As after `kill -9` and a new start: what the node knew alone is lost.
    pub async fn kill(&mut self, killed: &[usize]) {
        let now = self.now();
        // While others live, they know all but the latest.
        let lost = if killed.len() == self.nodes.len() { 75 } else { 45 };
        let survives = now.minus(SECOND * lost);
        for (at, node, is_known) in self.check_ins.values_mut().flat_map(|check_ins| &mut check_ins.0) {
            *is_known &= *at <= survives || !killed.contains(node) && killed.len() < self.nodes.len();
        }
        for at in killed {
            self.restart(*at).await;
        }
        self.disturbed_at = now;
    }

    pub async fn restart(&mut self, at: usize) {
        self.nodes[at] = SimulatedNode::start(&self.world, &self.wires, at, self.clocks[at].clone()).await;
    }

    pub async fn second(&mut self) {
        self.work_for_a_second().await;
        self.check();
    }

    pub async fn work_for_a_second(&mut self) {
        self.world.app.fleet.clock.advance(SECOND);
        self.clocks.iter().for_each(|clock| clock.advance(SECOND));
        let second = self.now().0 as u64 / 1_000_000;
        for at in 0..self.nodes.len() {
            if (second + 2 * at as u64).is_multiple_of(PERIOD) {
                self.nodes[at].work().await;
                self.nodes.iter_mut().for_each(SimulatedNode::hear);
            }
        }
    }

    /// What is stored, as if all nodes crashed now.
    pub async fn check_stored(&self) {
        let (db, stored) = (self.world.app.store.reader(), SeenTimes::default());
        let revisions = seen_pages::revisions(db, 100).await.unwrap();
        let numbers: Vec<i64> = revisions.into_iter().map(|(page, _)| page).collect();
        for page in seen_pages::read(db, &numbers).await.unwrap() {
            stored.merge_stored(page.page, &stored::decode(&page.seconds).unwrap(), u32::MAX);
        }
        let (mut stored, rounding) = (stored.reader(self.now()), SECOND * (PERIOD as u32 + 1));
        for (host, check_ins) in &self.check_ins {
            let (seen, now) = (stored.seen(*host, Moment::NEVER), self.now());
            let known = check_ins.latest_known(now.minus(SECOND * 75 - rounding));
            assert!(seen.plus(rounding) >= known, "host {host}, stored at {seen:?}, {now:?}, {check_ins:?}");
        }
    }

    fn check(&mut self) {
        let (now, is_disturbed) = (self.now(), self.is_disturbed());
        // Times are those of the start of what a message is about.
        let rounding = Duration::from_secs(PERIOD + 1);
        let ahead = self.clocks.iter().map(|clock| clock.now().since(now)).max().unwrap_or_default();
        for (at, node) in self.nodes.iter().enumerate() {
            let (phase, behind) = match (now.since(node.started_at) < STARTED_FOR, is_disturbed) {
                (true, _) => (Phase::New, SECOND * 75),
                (false, true) => (Phase::Disturbed, SECOND * 45),
                (false, false) => (Phase::Quiet, SECOND * 15),
            };
            for (host, check_ins) in &self.check_ins {
                let (seen, truth) = (node.seen(*host), check_ins.latest());
                let what = || format!("seed {}, node {at}, host {host}, {now:?}, {check_ins:?}", self.seed);
                assert!(seen <= truth.plus(ahead), "ahead of the truth at {seen:?}: {}", what());
                let known = check_ins.latest_known(now.minus(behind.saturating_sub(rounding)));
                assert!(seen.plus(rounding) >= known, "{phase:?}: more than {behind:?} behind at {seen:?}: {}", what());
                *self.checked.entry(phase).or_default() += usize::from(known > Moment::NEVER);
            }
        }
    }
}
