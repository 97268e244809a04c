//! Another process holds the database. Nothing an agent does may make it believe that its key is gone, no line may be
//! lost or doubled, and what needs the database is refused in time.

use std::time::{Duration, Instant};

use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;

use crate::support::{Database, KeptLines, Load, Report, TestServer, assert_refused, deliver_all, eventually};

/// How long the database is held.
const HELD: Duration = Duration::from_secs(10);

/// An enrollment is refused after `osquery.store_timeout` (1.5 s); machines may be slow.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);

/// Keeps writers out of the database while it lives.
struct Lock(Database);

impl Lock {
    fn take(server: &TestServer) -> Self {
        let database = server.database();
        database.hold();
        Self(database)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.release();
    }
}

async fn fleet(server: &TestServer, count: u32) -> Vec<TestAgent> {
    let mut agents = Vec::new();
    for index in 0..count {
        let mut agent = server.enrolled(index).await;
        assert!(agent.config().await.verdict.is_success());
        agents.push(agent);
    }
    agents
}

/// Enrolls new hosts, each of which must be refused in time, and tells how long the slowest took.
async fn refused_enrollments(server: &TestServer) -> Duration {
    let mut slowest = Duration::ZERO;
    for index in [901, 902] {
        let start = Instant::now();
        let exchange = server.agent(index).enroll().await;
        slowest = slowest.max(start.elapsed());
        assert_refused(&exchange, "enrollment while the database is locked");
    }
    assert!(slowest < REFUSED_WITHIN, "an enrollment was refused after {slowest:?}");
    slowest
}

/// Everything but enrollment must have worked all along.
fn assert_undisturbed(report: &Report) {
    assert_eq!((report.node_invalid, report.unanswered, report.empty), (0, 0, 0), "{report:?}");
    assert!(report.refused.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_locked_database_disturbs_only_enrollment() {
    let server = TestServer::start().await;
    let load = Load::start(fleet(&server, 25).await, 100);
    eventually("the agents are at work", Duration::from_secs(10), async || (load.rounds() >= 3).then_some(())).await;

    let lock = Lock::take(&server);
    let (start, rounds) = (Instant::now(), load.rounds());
    let slowest = refused_enrollments(&server).await;
    // Tasks that write wait for the lock all the while, and must not get in the way either.
    let tasks = async {
        loop {
            server.run_tasks().await;
        }
    };
    let held = async {
        let patience = Duration::from_secs(60);
        eventually("the agents go on", patience, async || (load.rounds() > rounds + 20).then_some(())).await;
        eventually("the time is up", HELD * 2, async || (start.elapsed() >= HELD).then_some(())).await;
    };
    tokio::select! {
        () = tasks => {}
        () = held => {}
    }
    eprintln!("locked for {:?}; enrollment refused after at most {slowest:?}", start.elapsed());
    drop(lock);

    assert!(server.agent(903).enroll().await.verdict.is_success());
    let (mut agents, report, ledger) = load.finish().await;
    assert_undisturbed(&report);
    deliver_all(&mut agents, Duration::from_secs(10)).await;
    assert_eq!(KeptLines::read(&server.results()), ledger.results());
    assert_eq!(KeptLines::read(&server.statuses()), ledger.statuses());
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 26);
}

#[tokio::test]
async fn hosts_not_yet_in_memory_are_served_from_a_locked_database() {
    let mut server = TestServer::start().await;
    let agents = fleet(&server, 25).await;
    server.restart().await;
    let lock = Lock::take(&server);
    let load = Load::start(agents, 100);
    refused_enrollments(&server).await;
    eventually("the agents work", Duration::from_secs(10), async || (load.rounds() >= 5).then_some(())).await;
    drop(lock);
    let (mut agents, report, ledger) = load.finish().await;
    assert_undisturbed(&report);
    deliver_all(&mut agents, Duration::from_secs(10)).await;
    assert_eq!(KeptLines::read(&server.results()), ledger.results());
}

#[tokio::test]
async fn a_key_the_database_cannot_look_up_is_not_called_unknown() {
    let mut server = TestServer::start().await;
    let mut agents = fleet(&server, 2).await;
    server.restart().await;
    let database = server.database();
    database.execute("ALTER TABLE node_keys RENAME TO node_keys_away");
    for agent in &mut agents {
        assert_refused(&agent.config().await, "config");
        assert_refused(&agent.read().await, "distributed/read");
        assert_refused(&agent.write([]).await, "distributed/write");
        agent.push_result_line(r#"{"line":1}"#);
        assert_refused(&agent.flush_logs().await[0], "log");
        assert!(!agent.node_key().is_empty());
    }
    assert_refused(&server.agent(7).enroll().await, "enrollment");
    database.execute("ALTER TABLE node_keys_away RENAME TO node_keys");
    for agent in &mut agents {
        assert!(agent.config().await.verdict.is_success());
        assert!(agent.flush_logs().await[0].verdict.is_success());
        assert_eq!(agent.counters().node_invalid(), 0);
        assert_eq!(agent.counters().endpoint(AgentEndpoint::Enroll).requests, 1);
    }
}

#[tokio::test]
async fn a_server_starts_on_a_locked_database() {
    let mut server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    server.stop().await;
    let lock = Lock::take(&server);
    let refused = server.try_start().await;
    drop(lock);
    if let Err(error) = refused {
        // Refusing is fine, as long as the operator learns why.
        assert!(format!("{error:#}").contains("database"), "{error:#}");
        server.restart().await;
    }
    assert!(agent.config().await.verdict.is_success());
}
