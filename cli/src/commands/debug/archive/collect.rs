//! The requests of an archive: the CPU profile first, the trace and what is quick meanwhile, and the profiles of the memory when
//! the CPU profile is there. A bounded number of requests at one time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::items::{AFTER_PROFILE, HEAVY, ITEMS, Item, Pace, Subject};
use super::nodes::AskedNode;
use crate::commands::debug::fetch::is_empty_list;
use crate::commands::debug::now;
use crate::rest::{DebugConnection, RestError};

/// Connections to each node for what is no profile.
const CONNECTIONS: usize = 6;

/// Time beyond the measuring that everything but the profiles has.
const MARGIN: Duration = Duration::from_secs(10);

/// The longest profile in seconds.
const LONGEST_PROFILE: u16 = 120;

/// Looks at what is fleeting, and the time between them.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// An item of a node, and what became of it.
#[derive(Debug)]
pub struct Collected {
    pub item: &'static Item,
    pub node: AskedNode,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    /// The answer, or why there is none.
    pub outcome: Result<Vec<u8>, NotCollected>,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub struct NotCollected {
    pub reason: String,
    /// Whether the server has nothing of the kind, such as row locks with SQLite.
    pub is_absent: bool,
}

impl NotCollected {
    pub fn failed(reason: String) -> Self {
        Self { reason, is_absent: false }
    }
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
    /// Starts to ask. What is no profile ends [`MARGIN`] after the measuring at the latest.
    pub fn start(nodes: &[AskedNode], profile_seconds: u16) -> Self {
        let (sender, results) = unbounded_channel();
        let measured = Instant::now() + Duration::from_secs(profile_seconds.into());
        let mut workers = JoinSet::new();
        for node in nodes {
            let items = planned(std::slice::from_ref(node)).into_iter().map(|(_, item)| item);
            for queue in queues(items) {
                let deadline = measured + queue.margin;
                for _ in 0..queue.connections {
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

/// Items that wait for a connection.
#[derive(Clone)]
struct ItemQueue {
    items: Arc<Mutex<VecDeque<&'static Item>>>,
    /// Connections on which they are asked for.
    connections: usize,
    /// Time beyond the measuring that all of them have.
    margin: Duration,
}

/// The profiles, one after the other and that of the CPU first; the trace; and the rest.
fn queues(items: impl Iterator<Item = &'static Item>) -> [ItemQueue; 3] {
    let (mut profiles, mut trace, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match item.pace {
            Pace::Profile | Pace::Heavy => profiles.push(item),
            Pace::Trace => trace.push(item),
            Pace::First | Pace::Fleeting | Pace::Quick => rest.push(item),
        }
    }
    profiles.sort_by_key(|item| item.pace != Pace::Profile);
    rest.sort_by_key(|item| item.pace == Pace::Quick);
    [
        ItemQueue::new(profiles, 1, AFTER_PROFILE + HEAVY),
        ItemQueue::new(trace, 1, MARGIN),
        ItemQueue::new(rest, CONNECTIONS, MARGIN),
    ]
}

impl ItemQueue {
    fn new(items: Vec<&'static Item>, connections: usize, margin: Duration) -> Self {
        Self { connections: items.len().min(connections), items: Arc::new(Mutex::new(items.into())), margin }
    }

    fn take(&self) -> Option<&'static Item> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
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
            let outcome = self.look(&mut connection, item).await;
            let collected = Collected { item, node: self.node.clone(), started_at, ended_at: now(), outcome };
            if self.results.send(collected).is_err() {
                return;
            }
        }
    }

    /// Asks for an item, and for one that is fleeting until there is something.
    async fn look(&self, connection: &mut DebugConnection, item: &Item) -> Result<Vec<u8>, NotCollected> {
        let looks = if item.pace == Pace::Fleeting { LOOKS } else { 1 };
        let mut answer = self.ask(connection, item).await?;
        for _ in 1..looks {
            if !is_empty_list(&answer) {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            // What was answered before is kept if the next look fails.
            match self.ask(connection, item).await {
                Ok(next) => answer = next,
                Err(_) => break,
            }
        }
        Ok(answer)
    }

    async fn ask(&self, connection: &mut DebugConnection, item: &Item) -> Result<Vec<u8>, NotCollected> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NotCollected::failed(self.too_late()));
        }
        let time = item.time(self.profile_seconds).min(left);
        match connection.get(&item.request(self.profile_seconds), time).await {
            Ok(answer) => Ok(answer.bytes),
            Err(error) => {
                let is_absent = matches!(error, RestError::NotThere(_));
                Err(NotCollected { reason: error.to_string(), is_absent })
            }
        }
    }

    fn too_late(&self) -> String {
        let longer = self.profile_seconds.max(30).saturating_mul(2).min(LONGEST_PROFILE);
        let remedy = if longer > self.profile_seconds {
            format!("; repeat with --profile-seconds {longer}")
        } else {
            String::new()
        };
        format!("not asked: the time for collecting was over{remedy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_profile_is_first_and_those_of_the_memory_follow_it() {
        let [profiles, trace, rest] = queues(ITEMS.iter());
        let names = |queue: &ItemQueue| std::iter::from_fn(|| queue.take()).map(|item| item.name).collect::<Vec<_>>();
        assert_eq!((profiles.connections, trace.connections, rest.connections), (1, 1, CONNECTIONS));
        assert_eq!(names(&profiles), ["profile", "allocs", "heap"]);
        assert_eq!(names(&trace), ["trace"]);
        assert_eq!(names(&rest)[..3], ["goroutine", "db-locks", "db-innodb-status"]);
    }
}
