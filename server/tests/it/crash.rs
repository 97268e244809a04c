//! The server dies without a chance to say goodbye. Agents go on by themselves, no acknowledged line is
//! lost, and only lines whose answer got lost may be doubled.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_compat::Flags;
use agent_compat::live::{self, SharedAgent};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Address, ENROLL_SECRET, KeptLines, Ledger, Load, Rest, ServerSetup, deliver_all, eventually};

const KILLS: usize = 5;

/// Agents that live by their own timers, as osqueryd does, beside those that never rest.
struct Living {
    agents: Vec<SharedAgent>,
    lives: JoinSet<()>,
    stop: watch::Sender<bool>,
    ledger: Ledger,
}

impl Living {
    fn start(address: &Address) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut living = Self { agents: Vec::new(), lives: JoinSet::new(), stop, ledger: Ledger::default() };
        for index in 100..105 {
            let flags = Flags {
                enroll_secret: ENROLL_SECRET.into(),
                logger_tls_period: 1,
                logger_tls_backoff_max: 1,
                distributed_interval: 1,
                config_refresh: 1,
                config_accelerated_refresh: 1,
                ..Flags::default()
            };
            let (mut agent, transport) = address.living(index, flags);
            agent.observe(Box::new(living.ledger.clone()));
            let agent: SharedAgent = Arc::new(Mutex::new(agent));
            living.lives.spawn(live::run(Arc::clone(&agent), transport, stopped.clone()));
            living.agents.push(agent);
        }
        living
    }

    fn push_lines(&self, kill: usize) {
        for (number, agent) in self.agents.iter().enumerate() {
            let line = format!(r#"{{"living":{number},"kill":{kill}}}"#);
            live::lock(agent).push_result_line(line.into_bytes(), live::now_ms());
        }
    }

    async fn all_delivered(&self) {
        eventually("living agents deliver without help", Duration::from_secs(30), async || {
            self.agents.iter().all(|agent| live::lock(agent).buffered_lines() == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn killed_servers_lose_nothing_and_double_only_what_was_under_way() {
    let setup = ServerSetup::new(&[]);
    let mut server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    // Shorter intervals than a new server's, so that living agents notice what happens within the test.
    let options = json!({ "distributed_interval": 1, "logger_tls_period": 1, "logger_tls_backoff_max": 1 });
    let spec = json!({ "agent_options": { "config": { "options": options } } });
    rest.apply(&[json!({ "kind": "config", "spec": spec })]).await;
    let load = Load::start((0..20).map(|index| setup.address().agent(index)), 100);
    let living = Living::start(&setup.address());
    let mut random = StdRng::seed_from_u64(9);
    for kill in 0..KILLS {
        let rounds = load.rounds();
        eventually("agents are at work", Duration::from_secs(30), async || (load.rounds() > rounds + 3).then_some(()))
            .await;
        living.push_lines(kill);
        // The moment of the kill: somewhere between two rounds of the agents.
        let moment = std::time::Instant::now() + Duration::from_millis(random.random_range(0..300));
        eventually("the moment comes", Duration::from_secs(1), async || {
            (std::time::Instant::now() >= moment).then_some(())
        })
        .await;
        server.kill();
        server = setup.start().await;
    }
    let rounds = load.rounds();
    eventually("agents go on", Duration::from_secs(30), async || (load.rounds() > rounds + 3).then_some(())).await;
    living.all_delivered().await;
    let (mut agents, report, ledger) = load.finish().await;
    deliver_all(&mut agents, Duration::from_secs(10)).await;
    living.stop.send_replace(true);

    let kept = KeptLines::read(&setup.results());
    let acknowledged = ledger.results();
    assert!(acknowledged.total() > 500, "only {} lines", acknowledged.total());
    assert_eq!(acknowledged.missing_in(&kept), [""; 0], "acknowledged lines are lost");
    assert_eq!(living.ledger.results().missing_in(&kept), [""; 0], "acknowledged lines are lost");
    let doubled = kept.doubled_over(&acknowledged);
    eprintln!(
        "{} lines, {KILLS} kills, {} requests unanswered, {doubled} lines doubled of {} in unanswered batches",
        acknowledged.total(),
        report.unanswered,
        report.unsure_lines
    );
    assert!(doubled <= report.unsure_lines, "{doubled} doubled, {} in flight", report.unsure_lines);
    assert_eq!((report.node_invalid, report.empty), (0, 0), "{report:?}");
    for agent in &living.agents {
        let agent = live::lock(agent);
        assert_eq!(agent.counters().node_invalid(), 0, "{:?}", agent.counters());
        assert_eq!(agent.counters().enrollments, 1, "{:?}", agent.counters());
    }
    // A connection refused is not an answer, so nobody enrolled twice.
    for agent in &agents {
        assert_eq!(agent.counters().enrollments, 1);
    }
}

#[tokio::test]
async fn a_line_a_crash_cut_short_is_removed() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let mut agent = setup.address().enrolled(1).await;
    agent.push_result_line(r#"{"whole":1}"#);
    agent.flush_logs().await;
    server.kill();
    let mut bytes = std::fs::read(setup.results()).unwrap();
    bytes.extend_from_slice(br#"{"cut":"#);
    std::fs::write(setup.results(), bytes).unwrap();
    let _server = setup.start().await;
    agent.push_result_line(r#"{"whole":2}"#);
    assert!(agent.flush_logs().await[0].verdict.is_success());
    assert_eq!(std::fs::read_to_string(setup.results()).unwrap(), "{\"whole\":1}\n{\"whole\":2}\n");
}
