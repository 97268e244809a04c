use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::SOON;
use crate::fleet;
use crate::fleet::hosts::{Authenticated, Host};
use crate::fleet::logs::{LogLines, LogStream};
use crate::lock::lock;
use crate::tests::wait::eventually;
use crate::tests::world::World;

/// How often nodes here renew their leases.
const RENEWED_EVERY: Duration = Duration::from_millis(50);

/// How long a stop may take to give up leases.
const RELEASED_WITHIN: Duration = Duration::from_secs(20);

/// A node without its listener. It has two runtimes, so that it can end in the middle of anything: one that answers
/// requests, and one for the rest.
pub struct HistoryNode {
    world: Arc<World>,
    hosts: Vec<Arc<Host>>,
    under_way: watch::Sender<usize>,
    worker: Mutex<Option<Runtime>>,
    main: Mutex<Option<Runtime>>,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl HistoryNode {
    /// A node beside another server, which knows the hosts with these keys.
    pub fn start(origin: &World, keys: &[String]) -> Arc<Self> {
        let main = runtime();
        let started = async {
            let world = origin.beside().await;
            world.app.fleet.hosts.keep_seen(false).await.unwrap();
            let mut hosts = Vec::new();
            for key in keys {
                match world.app.fleet.hosts.authenticate(key).await.unwrap() {
                    Authenticated::Host(host) => hosts.push(host),
                    Authenticated::Unknown => panic!("{key} is not good"),
                }
            }
            (Arc::new(world), hosts)
        };
        let started = || tokio::task::LocalSet::new().block_on(&main, started);
        let (world, hosts) = tokio::task::block_in_place(started);
        let fleet = world.app.fleet.clone();
        main.spawn(async move {
            let mut rounds = tokio::time::interval(RENEWED_EVERY);
            loop {
                rounds.tick().await;
                fleet.logs.keep_leases(&fleet.hosts).await;
            }
        });
        let (worker, main) = (Mutex::new(Some(runtime())), Mutex::new(Some(main)));
        Arc::new(Self { world, hosts, under_way: watch::Sender::new(0), worker, main })
    }

    /// Sends a batch of a host. Whoever aborts what this gives has hung up. `None` when the node takes no requests.
    pub fn send(self: &Arc<Self>, host: usize, lines: &[String]) -> Option<JoinHandle<fleet::Result<()>>> {
        let lines: LogLines = lines.iter().map(String::as_bytes).collect();
        let (logs, host) = (Arc::clone(&self.world.app.fleet.logs), Arc::clone(&self.hosts[host]));
        let worker = lock(&self.worker);
        let request = UnderWay::begin(self.under_way.clone());
        Some(worker.as_ref()?.spawn(async move {
            let _request = request;
            logs.accept(host, LogStream::Result, lines).await
        }))
    }

    /// Ends in the middle of everything.
    pub fn kill(&self) {
        for runtime in [&self.worker, &self.main] {
            if let Some(runtime) = lock(runtime).take() {
                runtime.shutdown_background();
            }
        }
    }

    /// Stops as a server does: requests are answered, what they have left to do breaks off, and what is only in memory is
    /// written.
    pub async fn stop(&self) {
        let worker = lock(&self.worker).take();
        let _ = self.under_way.subscribe().wait_for(|count| *count == 0).await;
        worker.unwrap().shutdown_background();
        let (fleet, hosts) = (self.world.app.fleet.clone(), self.hosts.clone());
        let finish = async move {
            fleet.logs.release_all(&hosts, RELEASED_WITHIN).await;
            fleet.logs.save(hosts).await.unwrap();
        };
        let main = lock(&self.main).as_ref().unwrap().handle().clone();
        tokio::task::block_in_place(|| main.block_on(finish));
        self.kill();
    }

    /// Waits until Redis has answered what this node has asked later than now.
    pub async fn uses_redis(&self) {
        let since = Instant::now();
        let logs = &self.world.app.fleet.logs;
        eventually("Redis is used", SOON, async || logs.has_asked_redis_since(since).then_some(())).await;
    }

    /// Has all batches refused, until they are taken again.
    pub fn refuse(&self, are_refused: bool) {
        self.world.refuse_results(are_refused);
    }

    /// Lets so much time go by that no lease is used any more.
    pub fn is_later(&self) {
        self.world.app.fleet.logs.move_leases_on(Duration::from_secs(61));
    }

    pub fn results(&self) -> PathBuf {
        self.world.results()
    }

    /// Commands about batches that Redis has not answered in time.
    pub fn unanswered(&self) -> u64 {
        let metrics = self.world.app.metrics.render().unwrap();
        let failures = metrics.lines().filter(|line| line.starts_with("muster_redis_failures_total{command=\"l"));
        failures.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Leases that were taken and have ended for this reason.
    pub fn leases_ended(&self, why: &str) -> u64 {
        self.world.app.metrics.batch_leases_ended.with_label_values(&[why]).get()
    }
}

impl Drop for HistoryNode {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Counts a request while it is under way.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn begin(count: watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
