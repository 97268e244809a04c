use std::time::Duration;

use agent_compat::live;

use super::cluster::Cluster;
use super::fleet::Fleet;
use crate::support::{KeptLines, ServerSetup, eventually};

/// How soon another server leads after one that led has died (45 s), on a machine that may be slow.
const LED_WITHIN: Duration = Duration::from_secs(60);

/// Whether lines may stand twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubled {
    /// Only status lines in requests without an answer, which are kept when in doubt.
    InDoubt,
    /// A server died: at most the lines in requests without an answer.
    InFlight,
}

/// What [`check`] has counted.
pub struct Checked {
    /// Log lines that agents were told are kept. None of them is lost.
    pub acknowledged: usize,
    pub doubled: usize,
}

/// What holds after every fault, from the agents' ledgers, the log files and the database. `others` are hosts there are
/// besides the fleet.
pub async fn check(what: &str, cluster: &Cluster, fleet: Fleet, others: u32, doubled: Doubled) -> Checked {
    fleet.is_delivered().await;
    cluster.is_ready().await;
    assert_eq!(fleet.book.wrong_answers(), 0, "answers that no agent must get");
    for agent in &fleet.agents {
        let agent = live::lock(agent);
        let counters = agent.counters();
        assert_eq!((counters.node_invalid(), counters.enrollments), (0, 1), "{counters:?}");
        for lines in [counters.results, counters.statuses] {
            assert_eq!(lines.produced, lines.acknowledged, "{counters:?}");
        }
    }
    let read = |path: fn(&ServerSetup) -> std::path::PathBuf| {
        let mut kept = KeptLines::default();
        cluster.setups.iter().for_each(|setup| kept.add_all(&KeptLines::read(&path(setup))));
        kept
    };
    let (results, statuses) = (read(ServerSetup::results), read(ServerSetup::statuses));
    let (acknowledged_results, acknowledged_statuses) = (fleet.ledger.results(), fleet.ledger.statuses());
    assert!(acknowledged_results.total() > 100 && acknowledged_statuses.total() > 10, "too few lines");
    assert_eq!(acknowledged_results.missing_in(&results), [""; 0], "acknowledged result lines are lost");
    assert_eq!(acknowledged_statuses.missing_in(&statuses), [""; 0], "acknowledged status lines are lost");
    let twice = [results.doubled_over(&acknowledged_results), statuses.doubled_over(&acknowledged_statuses)];
    let acknowledged = acknowledged_results.total() + acknowledged_statuses.total();
    let unsure = fleet.book.unsure_lines();
    eprintln!("{what}: {acknowledged} lines, 0 lost, {twice:?} doubled of {unsure:?} in batches without an answer");
    let allowed = if doubled == Doubled::InFlight { unsure } else { [0, unsure[1]] };
    for (twice, allowed) in twice.into_iter().zip(allowed) {
        assert!(twice as u64 <= allowed, "{twice} lines doubled, {allowed} may be");
    }

    let hosts = i64::try_from(fleet.agents.len()).unwrap() + i64::from(others);
    assert_eq!(cluster.number("SELECT count(*) FROM hosts"), hosts, "hosts in the database");
    assert_eq!(cluster.number("SELECT count(DISTINCT host_id) FROM node_keys"), hosts, "hosts with a key");
    assert_eq!(cluster.number("SELECT count(*) FROM parked_queries"), 0, "an outage is no agent's fault");
    // Who leads has said so since: periodic work goes on.
    eventually("one server leads", LED_WITHIN, async || {
        (cluster.metric("muster_is_leader ").await == 1.0).then_some(())
    })
    .await;
    fleet.stop().await;
    Checked { acknowledged, doubled: twice.into_iter().sum() }
}
