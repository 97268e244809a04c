//! Rollouts while servers and their database are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_compat::live;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::certificates::Authority;
use super::cluster::Cluster;
use super::faults::{Strike, are_served};
use super::fleet::Fleet;
use super::servers::balance;
use super::{AGENTS, RECOVERED_WITHIN, cluster_permit};
use crate::support::{Rest, count, eventually};

/// How long a rollout may take once nothing fails any more: four stages, each with a lease that has to run out first at worst.
const OVER_WITHIN: Duration = Duration::from_secs(240);

const DOCUMENTS: &str = "
kind: query
spec: {name: work, query: SELECT 0 AS work}
---
kind: pack
spec: {name: base, targets: {labels: [All Hosts]}, queries: [{query: work, interval: 1}]}
";

/// SQL that agents have run, by agent.
type Ran = Arc<Mutex<BTreeMap<usize, BTreeSet<String>>>>;

/// Notes what agents run from now on.
fn watch(fleet: &Fleet) -> Ran {
    let ran = Ran::default();
    for (number, agent) in fleet.agents.iter().enumerate() {
        let ran = Arc::clone(&ran);
        let note = move |sql: &str| {
            let mut ran = ran.lock().unwrap_or_else(PoisonError::into_inner);
            ran.entry(number).or_default().insert(sql.to_owned());
            false
        };
        live::lock(agent).set_killer(Some(Arc::new(note)));
    }
    ran
}

/// The agents that have run some SQL.
fn having(ran: &Ran, sql: &str) -> usize {
    let ran = ran.lock().unwrap_or_else(PoisonError::into_inner);
    ran.values().filter(|all| all.contains(sql)).count()
}

/// The SQL of a rollout. No two share it, so that what agents have run tells whose it was.
fn sql(number: usize) -> String {
    format!("SELECT {} AS work", number + 1)
}

/// Begins a rollout; a bad one trips a gate as soon as hosts have told of time within the stage.
async fn begin(rest: &Rest, number: usize, is_good: bool) {
    let mut spec = json!({
        "name": format!("r{number}"),
        "bake": "2s",
        "cohorts": [{ "percent": 25 }, { "percent": 60 }, { "percent": 100 }],
        "gates": { "checkin_loss": { "off": true }, "result_bytes": { "off": true } },
        "documents": [{ "kind": "query", "spec": { "name": "work", "query": sql(number) } }],
    });
    if !is_good {
        spec["gates"]["result_bytes"] = json!({ "above": 0.0001, "times": 0.0001 });
    }
    rest.apply(&[json!({ "kind": "rollout", "spec": spec })]).await;
}

async fn status(rest: &Rest, number: usize) -> Option<Value> {
    let answer = rest.get(&format!("rollouts/r{number}")).await;
    (answer.status == 200).then(|| answer.json()["rollout"].clone())
}

/// Checks a rollout that is over.
fn check(status: &Value, ran: &Ran, number: usize, is_good: bool) {
    let decisions = status["decisions"].as_array().unwrap();
    let kinds: Vec<&str> = decisions.iter().map(|decision| decision["kind"].as_str().unwrap()).collect();
    if is_good {
        assert_eq!(kinds, ["began", "advanced", "advanced", "done"], "{status:#}");
        return;
    }
    assert_eq!(kinds, ["began", "halted"], "{status:#}");
    let cohort = decisions[1]["hosts"]["cohort"].as_u64().unwrap();
    let having = having(ran, &sql(number)) as u64;
    assert!(having <= cohort && cohort < u64::from(*AGENTS), "{having} agents had it, in a cohort of {cohort}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_and_databases_change_neither_a_good_rollout_nor_a_bad_one() {
    let _permit = cluster_permit().await;
    let flags = ["server_drain=1s", "statistics_interval=1s", "statistics_write_interval=1s"];
    let mut cluster = Cluster::start(&flags).await;
    cluster.rest[0].apply_yaml(DOCUMENTS).await;
    let fleet = Fleet::start(&cluster, *AGENTS).await;
    let balancer = tokio::spawn(balance(cluster.rest.clone(), Arc::clone(&fleet.front)));
    let ran = watch(&fleet);
    let (mut random, authority) = (StdRng::seed_from_u64(7), Authority::new());
    let (kills, mut killed, mut number) = (count(3, 100), 0, 0);
    loop {
        let is_good = number % 2 == 0;
        begin(&cluster.rest[0], number, is_good).await;
        let mut over = None;
        while killed < kills && over.is_none() {
            let mut strike = Strike::kill(&mut random);
            eprintln!("rollout {number}: {:?} for {:?}", strike.faults, strike.lasts);
            strike.begin(&mut cluster, &authority).await;
            tokio::time::sleep(strike.lasts).await;
            strike.end(&mut cluster).await;
            killed += 1;
            cluster.is_ready().await;
            are_served(&cluster, RECOVERED_WITHIN).await;
            over = status(&cluster.rest[0], number).await.filter(|status| status["state"] != "running");
        }
        let over = match over {
            Some(over) => over,
            None => {
                eventually("the rollout is over", OVER_WITHIN, async || {
                    status(&cluster.rest[1], number).await.filter(|status| status["state"] != "running")
                })
                .await
            }
        };
        check(&over, &ran, number, is_good);
        if is_good {
            eventually("all agents run the new version", RECOVERED_WITHIN, async || {
                (having(&ran, &sql(number)) == fleet.agents.len()).then_some(())
            })
            .await;
        }
        number += 1;
        // The last one is a bad one.
        if killed >= kills && number >= 2 {
            break;
        }
    }
    // Nobody outside of their cohorts has run the bad ones since.
    let bad = (0..number).filter(|number| number % 2 == 1);
    assert!(bad.map(|number| having(&ran, &sql(number))).all(|having| having < fleet.agents.len()));
    let page = fleet.book.take();
    assert!(page.wrong.is_empty(), "{:?}", page.wrong);
    balancer.abort();
    fleet.stop().await;
}
