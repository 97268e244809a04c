//! An operator asks all hosts while something fails: every target is in exactly one state all the time, and all have
//! answered in the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use muster_api::rest::{LiveAnswer, LiveQuery, LiveStatus};

use super::cluster::{Cluster, LiveJob};
use super::fleet::Fleet;
use super::invariants::{Doubled, check};
use super::{AGENTS, cluster_permit};
use crate::support::{Passage, eventually};

/// A host that has lost its answer is asked again after 20 s, when it reads again.
const COMPLETED_WITHIN: Duration = Duration::from_secs(75);

/// Far beyond the tests.
const DEADLINE_SECS: u64 = 600;

impl LiveJob {
    /// Waits until some hosts have fetched it and others have not.
    async fn is_under_way(self, cluster: &Cluster, server: usize) {
        eventually("hosts fetch the query", Duration::from_secs(20), async || {
            let job = self.look(&cluster.rest[server]).await?;
            (job.counts.pending < job.counts.targets).then_some(())
        })
        .await;
    }

    /// Waits until it is over, and checks that both servers say the same and each host has answered once.
    pub(super) async fn is_complete(self, what: &str, cluster: &Cluster) {
        let (began, mut last): (Instant, Option<LiveQuery>) = (Instant::now(), None);
        let completed = tokio::time::timeout(
            COMPLETED_WITHIN,
            eventually("it is over", COMPLETED_WITHIN * 2, async || {
                let [one, other] = [self.look(&cluster.rest[0]).await?, self.look(&cluster.rest[1]).await?];
                let is_over = one.status == LiveStatus::Complete && other.status == LiveStatus::Complete;
                assert!(!is_over || one.counts == other.counts, "{one:?} {other:?}");
                last = Some(one);
                is_over.then_some(())
            }),
        )
        .await;
        assert!(completed.is_ok(), "{what}: not over within {COMPLETED_WITHIN:?}: {last:?}");
        let counts = last.unwrap().counts;
        eprintln!("{what}: the live query is over after {:?}: {counts:?}", began.elapsed());
        assert_eq!((counts.targets, counts.answered), (u64::from(*AGENTS), u64::from(*AGENTS)), "{counts:?}");
        for rest in &cluster.rest {
            let text = rest.get(&format!("live_queries/{}/results?cursor=0", self.id)).await.text;
            let lines = text.lines().filter(|line| !line.is_empty());
            let answers: Vec<LiveAnswer> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            let hosts: BTreeSet<i64> = answers.iter().map(|answer| answer.host_id).collect();
            assert_eq!((answers.len(), hosts.len()), (*AGENTS as usize, *AGENTS as usize), "each host has one answer");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_no_target() {
    let _permit = cluster_permit().await;
    let mut cluster = Cluster::start(&[]).await;
    let fleet = Fleet::start(&cluster, *AGENTS).await;
    for server in [0, 1] {
        // First the one where it was asked dies, then the other one.
        let job = cluster.ask(0, DEADLINE_SECS).await;
        job.is_under_way(&cluster, 0).await;
        fleet.book.take();
        cluster.kill(server);
        fleet.all_succeed("all agents go on with one server", super::RECOVERED_WITHIN).await;
        cluster.start_again(server).await;
        fleet.all_succeed("all agents go on with both", super::RECOVERED_WITHIN).await;
        let page = fleet.book.take();
        eprintln!("server killed: {page}");
        assert!(page.wrong.is_empty(), "{:?}", page.wrong);
        job.is_complete("server killed", &cluster).await;
    }
    check("server killed", &cluster, fleet, 0, Doubled::InFlight).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_everything_costs_no_target() {
    let _permit = cluster_permit().await;
    let mut cluster = Cluster::start(&[]).await;
    let fleet = Fleet::start(&cluster, *AGENTS).await;
    let job = cluster.ask(0, DEADLINE_SECS).await;
    job.is_under_way(&cluster, 0).await;
    fleet.book.take();
    cluster.redis.kill();
    fleet.all_succeed("all agents go on without Redis", super::RECOVERED_WITHIN).await;
    cluster.redis.restart().await;
    fleet.book.take().assert_no_silence();
    // What was answered before is gone with Redis; who had answered is not asked again.
    let counts = eventually("it is over", COMPLETED_WITHIN, async || {
        let job = job.look(&cluster.rest[1]).await?;
        (job.status == LiveStatus::Complete).then_some(job.counts)
    })
    .await;
    eprintln!("Redis killed: {counts:?}");
    assert_eq!(counts.answered + counts.lost, u64::from(*AGENTS), "{counts:?}");
    let job = cluster.ask(1, DEADLINE_SECS).await;
    job.is_complete("Redis killed, asked anew", &cluster).await;
    check("Redis killed during a live query", &cluster, fleet, 0, Doubled::InDoubt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_costs_no_target() {
    let _permit = cluster_permit().await;
    let cluster = Cluster::start(&[]).await;
    let fleet = Fleet::start(&cluster, *AGENTS).await;
    let job = cluster.ask(0, DEADLINE_SECS).await;
    job.is_under_way(&cluster, 0).await;
    fleet.book.take();
    cluster.database_way.set(Passage::Cut);
    for _ in 0..2 {
        fleet.all_succeed("all agents go on without the database", super::RECOVERED_WITHIN).await;
    }
    let page = fleet.book.take();
    eprintln!("database away during a live query: {page}");
    page.assert_no_silence();
    cluster.database_way.set(Passage::Open);
    job.is_complete("database away", &cluster).await;
    check("database away during a live query", &cluster, fleet, 0, Doubled::InDoubt).await;
}
