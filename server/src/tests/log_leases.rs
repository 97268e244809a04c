//! Two nodes with one Redis: whatever ends a lease, a repeat at the other node adds nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::wait;
use super::world::World;
use crate::fleet;
use crate::fleet::hosts::{Authenticated, Host};
use crate::fleet::logs::LogStream;
use crate::redis_processes::RedisProcess;

/// Longest wait for something to come right again.
const SOON: Duration = Duration::from_secs(20);

/// Longer than a lease is used.
const LATER: Duration = Duration::from_secs(61);

struct LeasedLogs {
    redis: RedisProcess,
    nodes: [World; 2],
    /// All hosts, as each node knows them.
    hosts: [Vec<Arc<Host>>; 2],
}

impl LeasedLogs {
    async fn start(count: usize) -> Self {
        let redis = RedisProcess::start().await;
        let address = redis.address();
        let origin = World::with(|config| {
            config.redis.address = vec![address];
            config.osquery.max_enroll_wait = SOON;
        })
        .await;
        let mut keys = Vec::new();
        for host in 0..count {
            keys.push(origin.enroll(&format!("host-{host}"), "ubuntu").await);
        }
        let nodes = [origin.beside().await, origin.beside().await];
        let mut hosts = [Vec::new(), Vec::new()];
        for (node, hosts) in nodes.iter().zip(&mut hosts) {
            for key in &keys {
                match node.app.fleet.hosts.authenticate(key).await.unwrap() {
                    Authenticated::Host(host) => hosts.push(host),
                    Authenticated::Unknown => panic!("{key} is not good"),
                }
            }
            node.app.fleet.hosts.keep_seen(false).await.unwrap();
        }
        let logs = Self { redis, nodes, hosts };
        logs.renew().await;
        logs
    }

    /// A host with a lease on the first node, which has kept batches 0 to 9 and 20, the last under the lease.
    async fn leased() -> Self {
        let logs = Self::start(1).await;
        logs.stick(0).await;
        logs.send(0, &[20]).await.unwrap();
        assert!(logs.lock().starts_with("lease "), "{}", logs.lock());
        logs
    }

    async fn renew(&self) {
        for node in &self.nodes {
            node.app.fleet.logs.keep_leases(&node.app.fleet.hosts).await;
        }
    }

    async fn stick(&self, host: usize) {
        for line in 0..10 {
            self.send_of(host, 0, &[line]).await.unwrap();
            let _idle = self.hosts[0][host].log(LogStream::Result).lock().await;
        }
    }

    async fn send(&self, node: usize, lines: &[u64]) -> fleet::Result<()> {
        self.send_of(0, node, lines).await
    }

    /// Sends lines, and has nodes renew their leases while they wait.
    async fn send_of(&self, host: usize, node: usize, lines: &[u64]) -> fleet::Result<()> {
        let lines: Vec<String> =
            lines.iter().map(|line| format!("{{\"unixTime\":1,\"counter\":{line},\"host\":{host}}}\n")).collect();
        let lines = lines.iter().map(String::as_bytes).collect();
        let logs = &self.nodes[node].app.fleet.logs;
        let sent = logs.accept(Arc::clone(&self.hosts[node][host]), LogStream::Result, lines);
        let renewed = async {
            let mut rounds = tokio::time::interval(Duration::from_millis(20));
            loop {
                rounds.tick().await;
                self.renew().await;
            }
        };
        tokio::select! {
            sent = sent => sent,
            () = renewed => unreachable!(),
        }
    }

    fn move_on(&self) {
        self.nodes[0].app.fleet.logs.move_leases_on(LATER);
    }

    /// The key of the first host's batch lock.
    fn lock_key(&self) -> String {
        format!("{{muster:logs:{}:r}}:turn", self.hosts[0][0].id)
    }

    fn lock(&self) -> String {
        self.redis.ask(&["GET", &self.lock_key()]).trim().to_owned()
    }

    /// Waits until both nodes use Redis after an outage, and the lock that this may have left behind is over.
    async fn is_used_again(&self) {
        let since = Instant::now();
        eventually("Redis is used", async || {
            self.renew().await;
            self.nodes.iter().all(|node| node.app.fleet.logs.has_asked_redis_since(since))
        })
        .await;
        self.is_unlocked().await;
    }

    /// Waits until no node works on a batch of the first host any more: its agent is answered before.
    async fn is_unlocked(&self) {
        eventually("the batch lock is free", async || self.lock().is_empty()).await;
    }

    /// How often a line of a host is in the files of both.
    fn kept(&self, host: usize, line: u64) -> usize {
        let text = format!("\"counter\":{line},\"host\":{host}}}");
        let files = self.nodes.iter().map(|node| std::fs::read_to_string(node.results()).unwrap());
        files.map(|file| file.matches(&text).count()).sum()
    }

    fn assert_kept_once(&self, lines: &[u64]) {
        for line in lines {
            assert_eq!(self.kept(0, *line), 1, "line {line}");
        }
    }
}

async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    wait::eventually(what, SOON, async || look().await.then_some(())).await;
}

#[actix_web::test]
async fn a_lease_that_redis_has_lost_is_used_for_a_minute_at_most() {
    let logs = LeasedLogs::leased().await;
    logs.redis.ask(&["DEL", &logs.lock_key()]);
    logs.send(1, &[30]).await.unwrap();
    logs.is_unlocked().await;
    logs.move_on();
    logs.send(0, &[30, 31]).await.unwrap();
    logs.is_unlocked().await;
    logs.send(1, &[30, 31, 32]).await.unwrap();
    logs.assert_kept_once(&[30, 31, 32]);
}

#[actix_web::test]
async fn an_old_lease_is_taken_again_and_known_to_the_other_node_when_it_is_wanted() {
    let logs = LeasedLogs::leased().await;
    logs.move_on();
    logs.send(1, &[20, 21]).await.unwrap();
    logs.assert_kept_once(&[20, 21]);
    logs.is_unlocked().await;
    logs.stick(0).await;
    logs.move_on();
    logs.send(0, &[40]).await.unwrap();
    drop(logs.hosts[0][0].log(LogStream::Result).lock().await);
    assert_eq!(logs.nodes[0].app.metrics.batch_leases.get(), 1);
    logs.send(1, &[40, 41]).await.unwrap();
    logs.assert_kept_once(&[40, 41]);
}

#[actix_web::test]
async fn a_batch_that_is_refused_behind_an_old_lease_leaves_the_last_one_known() {
    let logs = LeasedLogs::leased().await;
    logs.move_on();
    logs.nodes[0].refuse_results(true);
    logs.send(0, &[20, 21]).await.unwrap_err();
    logs.nodes[0].refuse_results(false);
    logs.is_unlocked().await;
    logs.send(1, &[20, 21]).await.unwrap();
    logs.assert_kept_once(&[20, 21]);
}

#[actix_web::test]
async fn a_batch_that_is_given_up_behind_an_old_lease_leaves_the_last_one_known() {
    let logs = LeasedLogs::leased().await;
    logs.move_on();
    logs.redis.pause();
    let mut sent = Box::pin(logs.send(0, &[20, 21]));
    assert!(futures_util::poll!(&mut sent).is_pending());
    let log = logs.hosts[0][0].log(LogStream::Result);
    eventually("the batch waits for Redis", async || log.try_lock().is_err()).await;
    drop(sent);
    logs.redis.resume();
    eventually("nobody waits for the log", async || log.try_lock().is_ok()).await;
    logs.is_unlocked().await;
    assert_eq!(logs.kept(0, 21), 0);
    logs.send(1, &[20, 21]).await.unwrap();
    logs.assert_kept_once(&[20, 21]);
}

#[actix_web::test]
async fn a_batch_that_is_given_up_while_it_waits_is_not_kept_under_a_lease() {
    let logs = LeasedLogs::leased().await;
    let log = logs.hosts[0][0].log(LogStream::Result);
    let busy = log.lock().await;
    let mut sent = Box::pin(logs.send(0, &[20, 21]));
    assert!(futures_util::poll!(&mut sent).is_pending());
    tokio::task::yield_now().await;
    drop((sent, busy));
    eventually("nobody waits for the log", async || log.try_lock().is_ok()).await;
    assert_eq!(logs.kept(0, 21), 0, "it may come behind its own repeat");
    assert!(logs.lock().starts_with("lease "));
}

#[actix_web::test]
async fn behind_a_lock_that_was_left_another_nodes_batch_stays_known() {
    let logs = LeasedLogs::leased().await;
    let node = logs.lock().split(' ').nth(1).unwrap().to_owned();
    logs.move_on();
    logs.redis.pause();
    logs.send(0, &[25]).await.unwrap();
    logs.redis.resume();
    logs.is_used_again().await;
    logs.send(1, &[30]).await.unwrap();
    logs.is_unlocked().await;
    logs.redis.ask(&["SET", &logs.lock_key(), &node]);
    logs.nodes[0].app.fleet.logs.release_all(&logs.hosts[0], SOON).await;
    logs.is_unlocked().await;
    logs.send(1, &[30, 31]).await.unwrap();
    logs.assert_kept_once(&[25, 30, 31]);
}

#[actix_web::test]
async fn a_batch_of_an_outage_is_known_though_the_next_one_is_refused() {
    let logs = LeasedLogs::start(1).await;
    logs.send(0, &[1]).await.unwrap();
    logs.is_unlocked().await;
    logs.redis.pause();
    logs.send(0, &[2]).await.unwrap();
    logs.redis.resume();
    logs.nodes[0].refuse_results(true);
    logs.is_used_again().await;
    logs.send(0, &[2, 3]).await.unwrap_err();
    logs.nodes[0].refuse_results(false);
    logs.is_unlocked().await;
    logs.send(1, &[2, 3]).await.unwrap();
    logs.assert_kept_once(&[1, 2, 3]);
}

#[actix_web::test]
async fn a_batch_that_finds_no_room_under_a_lease_ends_it() {
    let logs = LeasedLogs::leased().await;
    logs.nodes[0].app.fleet.logs.remember_no_more();
    logs.send(0, &[30]).await.unwrap();
    logs.is_unlocked().await;
    assert_eq!(logs.nodes[0].app.metrics.batch_leases.get(), 0);
    logs.send(1, &[30, 31]).await.unwrap();
    logs.assert_kept_once(&[30, 31]);
}

#[actix_web::test]
async fn batches_that_wait_for_the_disk_keep_no_other_lease_from_being_given_up() {
    const HOSTS: usize = 300;
    let logs = LeasedLogs::start(HOSTS).await;
    join_all((0..HOSTS).map(|host| logs.stick(host))).await;
    let first = &logs.hosts[0][1..];
    let busy = join_all(first.iter().map(|host| host.log(LogStream::Result).lock())).await;
    let refused = join_all((1..HOSTS).map(|host| logs.send_of(host, 1, &[30])));
    let (refused, kept) = tokio::join!(refused, logs.send(1, &[30]));
    kept.unwrap();
    assert!(refused.iter().all(Result::is_err), "their last batches are not known");
    drop(busy);
    logs.send_of(1, 1, &[30]).await.unwrap();
    assert_eq!((logs.kept(0, 30), logs.kept(1, 30)), (1, 1));
}

#[actix_web::test]
async fn a_stop_gives_up_leases_though_the_database_hangs() {
    let logs = LeasedLogs::leased().await;
    let node = &logs.nodes[0];
    let hangs = node.app.store.write(async |_| {
        std::future::pending::<()>().await;
        Ok(())
    });
    tokio::select! {
        _ = hangs => unreachable!(),
        () = Box::pin(crate::finish(&node.app, SOON)) => {}
        () = logs.is_unlocked() => {}
    }
    logs.send(1, &[20, 21]).await.unwrap();
    logs.assert_kept_once(&[20, 21]);
}

#[actix_web::test]
async fn no_lease_is_used_after_a_stop_that_had_no_time_for_it() {
    let logs = LeasedLogs::leased().await;
    let node = &logs.nodes[0].app.fleet.logs;
    node.release_all(&logs.hosts[0], Duration::ZERO).await;
    let lines = ["{\"unixTime\":1,\"counter\":50,\"host\":0}\n"].iter().map(|line| line.as_bytes()).collect();
    node.accept(Arc::clone(&logs.hosts[0][0]), LogStream::Result, lines).await.unwrap();
    logs.is_unlocked().await;
    logs.send(1, &[50, 51]).await.unwrap();
    logs.assert_kept_once(&[50, 51]);
}
