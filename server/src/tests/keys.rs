//! Whatever nodes do in whatever order, no key is retired that was in use a moment ago, and old ones go in the end.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sea_orm::EntityTrait as _;

use super::size::count;
use super::world::World;
use crate::clock::Moment;
use crate::fleet::hosts::NodeKey;
use crate::store::entity::node_keys;

const GRACE: Duration = Duration::from_secs(600);

/// Fewer than one instance may have, so that none has to make room.
const MAX_KEYS: usize = 7;

const MAX_NODES: usize = 3;

/// What happens next. Numbers choose among the nodes and keys that there are.
#[derive(Debug, Clone)]
enum KeyEvent {
    Enroll(usize),
    /// Enrolls, and uses the new key.
    Replace(usize),
    Use {
        node: usize,
        key: usize,
    },
    Pass(u64),
    Follow(usize),
    WriteUses(usize),
    Retire(usize),
    Start,
    /// Stops a node where a key has just been used.
    Stop {
        node: usize,
        key: usize,
    },
    Crash(usize),
    /// All that nodes do every few seconds, on each of them.
    Settle,
}

fn event() -> impl Strategy<Value = KeyEvent> {
    let node = || 0..MAX_NODES;
    prop_oneof![
        6 => (node(), 0..MAX_KEYS).prop_map(|(node, key)| KeyEvent::Use { node, key }),
        1 => node().prop_map(KeyEvent::Enroll),
        2 => node().prop_map(KeyEvent::Replace),
        4 => prop::sample::select(vec![10, 130, 700]).prop_map(KeyEvent::Pass),
        1 => node().prop_map(KeyEvent::Follow),
        1 => node().prop_map(KeyEvent::WriteUses),
        2 => node().prop_map(KeyEvent::Retire),
        2 => Just(KeyEvent::Start),
        3 => (node(), 0..MAX_KEYS).prop_map(|(node, key)| KeyEvent::Stop { node, key }),
        1 => node().prop_map(KeyEvent::Crash),
        5 => Just(KeyEvent::Settle),
    ]
}

/// A host with a single key, of which the first use was written long ago, at two nodes.
const LONG_IN_USE: [KeyEvent; 6] = [
    KeyEvent::Start,
    KeyEvent::Replace(0),
    KeyEvent::Settle,
    KeyEvent::Pass(700),
    KeyEvent::Pass(700),
    KeyEvent::Settle,
];

struct GivenKey {
    key: String,
    used_at: Moment,
}

struct History {
    nodes: Vec<World>,
    keys: Vec<GivenKey>,
    now: Moment,
    has_crashed: bool,
}

impl History {
    async fn new() -> Self {
        let first = World::new().await;
        let now = first.app.fleet.clock.now();
        let history = Self { nodes: vec![first], keys: Vec::new(), now, has_crashed: false };
        history.settle().await;
        history
    }

    fn node(&self, number: usize) -> &World {
        &self.nodes[number % self.nodes.len()]
    }

    async fn happen(&mut self, event: &KeyEvent) -> std::result::Result<(), TestCaseError> {
        match *event {
            KeyEvent::Enroll(node) if self.keys.len() < MAX_KEYS => {
                let key = self.node(node).enroll("web", "ubuntu").await;
                self.keys.push(GivenKey { key, used_at: Moment::NEVER });
            }
            KeyEvent::Replace(node) if self.keys.len() < MAX_KEYS => {
                let key = self.node(node).enroll("web", "ubuntu").await;
                assert!(self.node(node).host_of(&key).await.is_some());
                self.keys.push(GivenKey { key, used_at: self.now });
            }
            KeyEvent::Use { node, key } => self.use_key(node, key).await,
            KeyEvent::Pass(seconds) => self.pass(Duration::from_secs(seconds)),
            KeyEvent::Follow(node) => self.node(node).app.fleet.follow().await.unwrap(),
            KeyEvent::WriteUses(node) => self.node(node).app.fleet.hosts.write_key_uses(false).await.unwrap(),
            KeyEvent::Retire(node) => self.retire(node).await?,
            KeyEvent::Start if self.nodes.len() < MAX_NODES => {
                let node = self.nodes[0].beside().await;
                node.app.fleet.clock.advance(self.now.since(node.app.fleet.clock.now()));
                node.app.fleet.follow().await.unwrap();
                node.app.fleet.hosts.write_key_uses(false).await.unwrap();
                self.nodes.push(node);
            }
            KeyEvent::Stop { node, key } if self.nodes.len() > 1 => {
                self.use_key(node, key).await;
                let node = self.nodes.remove(node % self.nodes.len());
                Box::pin(crate::finish(&node.app, Duration::from_secs(1))).await;
            }
            KeyEvent::Crash(node) if self.nodes.len() > 1 => {
                let node = self.nodes.remove(node % self.nodes.len());
                node.app.store.close().await;
                self.has_crashed = true;
            }
            KeyEvent::Settle => {
                self.settle().await;
                self.retire(0).await?;
            }
            KeyEvent::Enroll(_)
            | KeyEvent::Replace(_)
            | KeyEvent::Start
            | KeyEvent::Stop { .. }
            | KeyEvent::Crash(_) => {}
        }
        self.pass(Duration::from_secs(1));
        Ok(())
    }

    async fn use_key(&mut self, node: usize, key: usize) {
        let Some(at) = key.checked_rem(self.keys.len()) else { return };
        if self.node(node).host_of(&self.keys[at].key).await.is_some() {
            self.keys[at].used_at = self.now;
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.nodes.iter().for_each(|node| node.app.fleet.clock.advance(time));
    }

    async fn settle(&self) {
        for node in &self.nodes {
            node.app.fleet.follow().await.unwrap();
            node.app.fleet.hosts.write_key_uses(false).await.unwrap();
        }
    }

    async fn stored(&self) -> Vec<Vec<u8>> {
        let rows = node_keys::Entity::find().all(self.nodes[0].app.store.reader()).await.unwrap();
        rows.into_iter().map(|row| row.key_hash).collect()
    }

    async fn retire(&mut self, node: usize) -> std::result::Result<(), TestCaseError> {
        let node = self.node(node);
        node.app.fleet.node.renew_lease(true).await.unwrap();
        if !node.app.fleet.node.is_leader() {
            return Ok(());
        }
        node.app.fleet.hosts.retire_keys().await.unwrap();
        let stored = self.stored().await;
        let now = self.now;
        let (kept, gone): (Vec<GivenKey>, Vec<GivenKey>) =
            self.keys.drain(..).partition(|key| stored.contains(&NodeKey::hash(&key.key).to_vec()));
        self.keys = kept;
        for key in gone {
            prop_assert!(now.since(key.used_at) >= GRACE, "retired {:?} after its last use", now.since(key.used_at));
        }
        Ok(())
    }

    /// With a key that replaces all others, and no node that others wait for.
    async fn end(mut self) -> std::result::Result<(), TestCaseError> {
        self.keys.truncate(MAX_KEYS - 1);
        self.happen(&KeyEvent::Replace(0)).await?;
        for _ in 0..5 {
            self.pass(GRACE);
            self.settle().await;
            for node in 0..self.nodes.len() {
                self.retire(node).await?;
            }
        }
        if !self.has_crashed {
            prop_assert_eq!(self.stored().await.len(), 1);
        }
        for node in &self.nodes {
            node.app.store.close().await;
        }
        Ok(())
    }
}

async fn run(events: Vec<KeyEvent>) -> std::result::Result<(), TestCaseError> {
    let mut history = History::new().await;
    for event in &events {
        history.happen(event).await?;
    }
    history.end().await
}

#[test]
fn no_order_of_events_retires_a_key_in_use() {
    let system = actix_web::rt::System::new();
    let mut runner = TestRunner::new(Config { cases: count(10, 300), failure_persistence: None, ..Config::default() });
    let events = prop::collection::vec(event(), 1..40).prop_map(|events| [&LONG_IN_USE[..], &events].concat());
    let outcome = runner.run(&events, |events| system.block_on(run(events)));
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Of an only key, just the first use is written; the node that knows of the last one stops before the next key comes.
#[actix_web::test]
async fn an_only_key_counts_as_in_use_until_another_one_replaced_it() {
    let events = [
        KeyEvent::Start,
        KeyEvent::Enroll(1),
        KeyEvent::Use { node: 1, key: 0 },
        KeyEvent::Settle,
        KeyEvent::Pass(700),
        KeyEvent::Pass(700),
        KeyEvent::Stop { node: 1, key: 0 },
        KeyEvent::Enroll(0),
        KeyEvent::Use { node: 0, key: 1 },
        KeyEvent::Settle,
        KeyEvent::Pass(130),
        KeyEvent::Settle,
        KeyEvent::Pass(130),
        KeyEvent::Settle,
    ];
    run(events.into()).await.unwrap();
}

/// The host returns to the key when it may be deleted at any moment.
#[actix_web::test]
async fn an_idle_key_is_used_again_or_deleted_and_not_both() {
    let events = [
        KeyEvent::Replace(0),
        KeyEvent::Pass(130),
        KeyEvent::Stop { node: 0, key: 1 },
        KeyEvent::Pass(700),
        KeyEvent::WriteUses(0),
        KeyEvent::Use { node: 0, key: 0 },
        KeyEvent::Retire(0),
    ];
    run([&LONG_IN_USE[..], &events].concat()).await.unwrap();
}
