use std::time::{Duration, Instant};

use agent_compat::agent::{AgentEndpoint, Counters};
use agent_compat::{Exchange, TestAgent, Verdict};
use futures_util::future::join_all;

use super::cluster::Cluster;
use super::fleet::Fleet;
use super::invariants::{Doubled, check};
use super::{AGENTS, RECOVERED_WITHIN, REFUSED_WITHIN, cluster_permit};
use crate::support::{Passage, assert_refused, eventually, eventually_ok};

/// How long the database is away.
const AWAY: Duration = Duration::from_secs(8);

/// Hosts that only the first server has met, and hosts that none has.
const STRANGERS: u32 = 3;
const NEWCOMERS: u32 = 4;

/// A fleet at work, and agents that need the database.
struct Outage {
    cluster: Cluster,
    fleet: Fleet,
    strangers: Vec<TestAgent>,
    newcomers: Vec<TestAgent>,
}

/// How far the database is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Away,
    ReadOnly,
    /// What is short enough is done.
    Slow,
}

/// The longest that anybody waited while the database was away.
#[derive(Debug, Default)]
struct Waited {
    newcomers: Duration,
    strangers: Duration,
    operators: Duration,
}

impl Outage {
    async fn start(flags: &[&str]) -> Self {
        let cluster = Cluster::start(flags).await;
        let fleet = Fleet::start(&cluster, *AGENTS).await;
        let mut strangers = Vec::new();
        for index in 0..STRANGERS {
            let mut agent = cluster.address(0).enrolled(500 + index).await;
            cluster.address(1).draw(&mut agent);
            strangers.push(agent);
        }
        let newcomers = (0..NEWCOMERS).map(|index| cluster.address(index as usize % 2).agent(600 + index)).collect();
        fleet.book.take();
        Self { cluster, fleet, strangers, newcomers }
    }

    /// What everybody gets for as long as the database is away.
    async fn endure(&mut self, what: &str, reach: Reach) {
        let (began, mut waited, mut round) = (Instant::now(), Waited::default(), 0);
        let counters = self.fleet.counters();
        while began.elapsed() < AWAY {
            round += 1;
            let enrolling = join_all(self.newcomers.iter_mut().map(async |newcomer| {
                let asked = Instant::now();
                assert_refused(&newcomer.enroll().await, what);
                asked.elapsed()
            }));
            let meeting = join_all(self.strangers.iter_mut().map(async |stranger| {
                stranger.push_status_line(format!(r#"{{"stranger":{round}}}"#));
                let mut slowest = Duration::ZERO;
                for endpoint in [AgentEndpoint::Config, AgentEndpoint::DistributedRead, AgentEndpoint::Log] {
                    let asked = Instant::now();
                    let exchange = match endpoint {
                        AgentEndpoint::Config => stranger.config().await,
                        AgentEndpoint::Log => stranger.flush_logs().await.remove(0),
                        _ => stranger.read().await,
                    };
                    slowest = slowest.max(asked.elapsed());
                    match reach {
                        Reach::Away => assert_refused(&exchange, what),
                        // Keys can be read.
                        Reach::ReadOnly => assert!(exchange.verdict.is_success(), "{what}: {exchange:?}"),
                        Reach::Slow => assert!(exchange.verdict != Verdict::NodeInvalid, "{what}: {exchange:?}"),
                    }
                }
                slowest
            }));
            let logging_in = async {
                let asked = Instant::now();
                let status = self.cluster.log_in(0).await;
                assert!(status >= 500 || reach == Reach::Slow, "{what}: a log-in writes: {status}");
                asked.elapsed()
            };
            let (enrolled, met, logged_in) = tokio::join!(enrolling, meeting, logging_in);
            waited.newcomers = enrolled.into_iter().fold(waited.newcomers, Duration::max);
            waited.strangers = met.into_iter().fold(waited.strangers, Duration::max);
            waited.operators = waited.operators.max(logged_in);
            let alive = self.cluster.rest[1].anonymous().get("/healthz").await.status;
            assert_eq!(alive, 200, "{what}: a restart would help nobody");
            if reach == Reach::Away {
                let (status, body) = self.cluster.readiness(0).await;
                assert_eq!((status, &body["status"]), (503, &"unavailable".into()), "{what}: {body}");
            }
        }
        self.fleet.all_succeed("known hosts are served without the database", AWAY * 2).await;
        let after = self.fleet.counters();
        let configs = |counters: &Counters| counters.endpoint(AgentEndpoint::Config).successes;
        let gained = after.iter().zip(&counters).map(|(after, before)| configs(after) - configs(before));
        let (fewest, page) = (gained.min().unwrap(), self.fleet.book.take());
        eprintln!("{what}, {} ms: known hosts: at least {fewest} configs each; {page}", began.elapsed().as_millis());
        eprintln!("{what}: waited at most: {waited:?}");
        page.assert_undisturbed();
        assert!(page.slowest() < REFUSED_WITHIN, "{what}: {page}");
        // Operators are told so, or are served late.
        let slowest = waited.newcomers.max(waited.strangers);
        assert!(slowest < REFUSED_WITHIN, "{what}: refused after {slowest:?}");
    }

    /// Everything works again without help, and holds what it must.
    async fn recovers(mut self, what: &str) {
        let began = Instant::now();
        self.cluster.is_ready().await;
        for agent in self.newcomers.iter_mut() {
            let enrolled = eventually_ok(RECOVERED_WITHIN, async || success(&agent.enroll().await)).await;
            enrolled.unwrap_or_else(|reason| panic!("{what}: a new host cannot enroll again: {reason}"));
        }
        for agent in &mut self.strangers {
            let served = eventually_ok(RECOVERED_WITHIN, async || success(&agent.config().await)).await;
            served.unwrap_or_else(|reason| panic!("{what}: a host is not served again: {reason}"));
            agent.flush_logs().await;
            assert_eq!((agent.agent().buffered_lines(), agent.counters().node_invalid()), (0, 0));
        }
        for server in [0, 1] {
            eventually("operators log in again", RECOVERED_WITHIN, async || {
                (self.cluster.log_in(server).await == 200).then_some(())
            })
            .await;
        }
        self.fleet.all_succeed("all agents work", RECOVERED_WITHIN).await;
        eprintln!("{what}: everything works again after {} ms", began.elapsed().as_millis());
        let page = self.fleet.book.take();
        eprintln!("{what}: afterwards {page}");
        page.assert_undisturbed();
        check(what, &self.cluster, self.fleet, STRANGERS + NEWCOMERS, Doubled::InDoubt).await;
    }
}

fn success(exchange: &Exchange) -> Result<(), String> {
    if exchange.verdict.is_success() { Ok(()) } else { Err(format!("{exchange:?}")) }
}

/// With intervals of 20 s about half of the fleet comes due while the database is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_is_used_again_without_a_herd() {
    const INTERVALS: [&str; 2] = ["osquery_detail_update_interval=20s", "osquery_label_update_interval=20s"];
    let _permit = cluster_permit().await;
    let mut outage = Outage::start(&INTERVALS).await;
    outage.cluster.mariadb.kill();
    outage.endure("database killed", Reach::Away).await;
    let asked_before = outage.cluster.metric("muster_questions_total").await;
    let now = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)";
    tokio::task::block_in_place(|| outage.cluster.mariadb.resume());
    let back = eventually("the database is there", RECOVERED_WITHIN, async || Some(outage.cluster.number(now))).await;

    // Questions per host are the same for all, and so tell hosts.
    let (mut peak, mut last, mut looked) = (0.0_f64, asked_before, Instant::now());
    eventually("all hosts are asked again", 3 * RECOVERED_WITHIN, async || {
        if looked.elapsed() < Duration::from_secs(1) {
            return None;
        }
        let asked = outage.cluster.metric("muster_questions_total").await;
        peak = peak.max((asked - last) / looked.elapsed().as_secs_f64());
        (last, looked) = (asked, Instant::now());
        let due = format!("SELECT count(*) FROM hosts WHERE detail_updated_at < {back}");
        (outage.cluster.number(&due) <= i64::from(STRANGERS)).then_some(())
    })
    .await;
    let of_one = (last - asked_before) / f64::from(*AGENTS);
    let hosts = peak / of_one;
    eprintln!("database killed: at most {hosts:.1} of {} hosts were asked in a second after its return", *AGENTS);
    assert!(of_one > 5.0, "{of_one} questions to a host");
    assert!(hosts < f64::from(*AGENTS) / 3.0, "{hosts} hosts a second are a herd");
    outage.recovers("database killed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_keeps_serving_known_hosts() {
    let _permit = cluster_permit().await;
    let mut outage = Outage::start(&[]).await;
    outage.cluster.mariadb.admin().execute("SET GLOBAL read_only = 1").unwrap();
    outage.endure("database read-only", Reach::ReadOnly).await;
    outage.cluster.mariadb.admin().execute("SET GLOBAL read_only = 0").unwrap();
    outage.recovers("database read-only").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_delays_no_known_host() {
    let _permit = cluster_permit().await;
    let mut outage = Outage::start(&[]).await;
    outage.cluster.database_way.set(Passage::Slow(Duration::from_secs(1)));
    outage.endure("database 1 s slower", Reach::Slow).await;
    outage.cluster.database_way.set(Passage::Open);
    outage.recovers("database 1 s slower").await;
}

/// As when the network loses everything, until connections are found to be broken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_is_not_waited_for() {
    let _permit = cluster_permit().await;
    let mut outage = Outage::start(&[]).await;
    outage.cluster.database_way.set(Passage::Frozen);
    outage.endure("database silent", Reach::Away).await;
    outage.cluster.database_way.set(Passage::Cut);
    eventually("the servers find out", RECOVERED_WITHIN, async || {
        (outage.cluster.readiness(0).await.0 == 503).then_some(())
    })
    .await;
    outage.cluster.database_way.set(Passage::Open);
    outage.recovers("database silent").await;
}
