//! The requests of an archive: the profile and the trace beside the others, a bounded number of them at one time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::items::{ITEMS, Item, Pace, Subject};
use super::nodes::AskedNode;
use crate::commands::debug::now;
use crate::rest::{DebugConnection, RestError};

/// Connections to each node for what is neither the profile nor the trace.
const CONNECTIONS: usize = 6;

/// Time beyond the profile that everything has.
const MARGIN: Duration = Duration::from_secs(10);

/// An item of a node, and what became of it.
#[derive(Debug)]
pub struct Collected {
    pub item: &'static Item,
    pub node: AskedNode,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    /// The answer, or why there is none.
    pub outcome: Result<Vec<u8>, String>,
}

/// A collection under way; ends if it is dropped.
pub struct Collection {
    results: UnboundedReceiver<Collected>,
    _workers: JoinSet<()>,
}

/// The items that nodes are asked for.
pub fn planned(nodes: &[AskedNode]) -> Vec<(&AskedNode, &'static Item)> {
    let is_for = |node: &AskedNode, item: &Item| node.is_first() || item.of == Subject::Node;
    let pairs = nodes.iter().flat_map(|node| ITEMS.iter().map(move |item| (node, item)));
    pairs.filter(|(node, item)| is_for(node, item)).collect()
}

impl Collection {
    /// Starts to ask. Everything has its end some seconds after the profile.
    pub fn start(nodes: &[AskedNode], profile_seconds: u16) -> Self {
        let (sender, results) = unbounded_channel();
        let deadline = Instant::now() + Duration::from_secs(profile_seconds.into()) + MARGIN;
        let mut workers = JoinSet::new();
        for node in nodes {
            let items = planned(std::slice::from_ref(node)).into_iter().map(|(_, item)| item);
            for queue in queues(items) {
                for _ in 0..queue.len().min(CONNECTIONS) {
                    let worker = Worker {
                        node: node.clone(),
                        queue: queue.clone(),
                        deadline,
                        profile_seconds,
                        results: sender.clone(),
                    };
                    workers.spawn(worker.run());
                }
            }
        }
        Self { results, _workers: workers }
    }

    /// What is collected next; `None` at the end.
    pub async fn next(&mut self) -> Option<Collected> {
        self.results.recv().await
    }
}

/// Items that wait for a connection. The profile and the trace have one of their own.
#[derive(Clone)]
struct ItemQueue(Arc<Mutex<VecDeque<&'static Item>>>);

fn queues(items: impl Iterator<Item = &'static Item>) -> Vec<ItemQueue> {
    let (mut first, mut measured) = (Vec::new(), Vec::new());
    for item in items {
        match item.pace {
            Pace::Profile | Pace::Trace => measured.push(vec![item]),
            Pace::First | Pace::Quick | Pace::Heavy => first.push(item),
        }
    }
    first.sort_by_key(|item| item.pace != Pace::First);
    measured.push(first);
    measured.into_iter().map(|items| ItemQueue(Arc::new(Mutex::new(items.into())))).collect()
}

impl ItemQueue {
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Option<&'static Item> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Asks a node for one item after the other, on one connection.
struct Worker {
    node: AskedNode,
    queue: ItemQueue,
    deadline: Instant,
    profile_seconds: u16,
    results: UnboundedSender<Collected>,
}

impl Worker {
    async fn run(self) {
        let mut connection = self.node.connection();
        while let Some(item) = self.queue.take() {
            let started_at = now();
            let outcome = self.ask(&mut connection, item).await.map_err(|error| error.to_string());
            let collected = Collected { item, node: self.node.clone(), started_at, ended_at: now(), outcome };
            if self.results.send(collected).is_err() {
                return;
            }
        }
    }

    async fn ask(&self, connection: &mut DebugConnection, item: &Item) -> Result<Vec<u8>, RestError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let time = item.time(self.profile_seconds).min(left);
        Ok(connection.get(&item.request(self.profile_seconds), time).await?.bytes)
    }
}
