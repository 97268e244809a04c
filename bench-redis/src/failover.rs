//! How soon each way writes again after the master it used was killed.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use redis::cmd;

use crate::config;
use crate::link::Purpose;
use crate::processes::Process;
use crate::script::Call;
use crate::ways::Way;

const ROUNDS: usize = 3;

/// Between two attempts to write.
const BETWEEN: Duration = Duration::from_millis(20);

/// Longest wait for a way to find the new master.
const LONGEST: Duration = Duration::from_secs(40);

pub async fn sentinel() -> Result<()> {
    println!("\nSeconds without a write after the master was killed (Sentinel takes 1 s to find it down)");
    for _ in 0..ROUNDS {
        let mut master = Process::redis(&["--repl-diskless-sync-delay", "0"]).await?;
        let master_address = format!("127.0.0.1 {}", master.port);
        let replica = Process::redis(&["--replicaof", &master_address]).await?;
        replica.until("master_link_status:up", &["info", "replication"]).await?;
        let sentinel = Process::sentinel(master.port).await?;
        sentinel.until("slaves=1", &["info", "sentinel"]).await?;
        let config = config::Redis { sentinel_addresses: vec![sentinel.address()], ..config::Redis::default() };
        let ways = [
            ("server", Way::link(&config)?),
            ("pool of 4 without PING", Way::own_pool(&config, 4)?),
            ("deadpool-redis of 4", Way::sentinel_pool(&config, 4)?),
        ];
        follow(&ways, 1, &mut master).await?;
    }
    Ok(())
}

/// Three masters with a replica each.
pub async fn cluster() -> Result<()> {
    println!("\nSeconds without a write after a master of a cluster was killed (found down after 1 s)");
    for _ in 0..ROUNDS {
        let mut nodes = Vec::new();
        for _ in 0..6 {
            nodes.push(Process::redis(&["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]).await?);
        }
        let addresses: Vec<String> = nodes.iter().map(Process::address).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(&addresses).args(["--cluster-replicas", "1", "--cluster-yes"]);
        let output = create.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        for node in &nodes {
            node.until("cluster_state:ok", &["cluster", "info"]).await?;
            node.until("cluster_known_nodes:6", &["cluster", "info"]).await?;
        }
        for node in &nodes[3..] {
            node.until("master_link_status:up", &["info", "replication"]).await?;
        }
        let config = config::Redis { address: addresses, ..config::Redis::default() };
        let ways = [
            ("server", Way::link(&config)?),
            ("pool of 4 without PING", Way::own_pool(&config, 4)?),
            ("deadpool-redis of 4", Way::cluster_pool(&config, 4)?),
        ];
        let job =
            (1..1000).find(|job| nodes[1].ask(&["set", &key(*job), "0"]).is_ok_and(|answer| answer.contains("OK")));
        let Some(job) = job else { anyhow::bail!("the second node has no keys") };
        let mut victim = nodes.remove(1);
        follow(&ways, job, &mut victim).await?;
    }
    Ok(())
}

fn key(job: i64) -> String {
    format!("{{muster:live:{job}}}:probe")
}

/// All ways write all the time, each on its own; the time counts from the kill.
async fn follow(ways: &[(&str, Way)], job: i64, master: &mut Process) -> Result<()> {
    let write = async |way: &Way| {
        let mut set = cmd("SET");
        set.arg(key(job)).arg(1);
        way.call(Purpose::Job, job, Call::Command(&set)).await
    };
    for (_, way) in ways {
        // All connections of a pool are in use once.
        tokio::try_join!(write(way), write(way), write(way), write(way))?;
    }
    master.kill();
    let killed = Instant::now();
    let until_written = async |way: &Way| {
        let (mut failures, mut longest) = (0, Duration::ZERO);
        while killed.elapsed() < LONGEST {
            let began = Instant::now();
            match write(way).await {
                Ok(_) => break,
                Err(_) => failures += 1,
            }
            longest = longest.max(began.elapsed());
            tokio::time::sleep(BETWEEN).await;
        }
        (killed.elapsed(), failures, longest)
    };
    let (one, two, three) =
        tokio::join!(until_written(&ways[0].1), until_written(&ways[1].1), until_written(&ways[2].1));
    for ((name, _), (time, failures, longest)) in ways.iter().zip([one, two, three]) {
        let (time, longest) = (time.as_secs_f64(), longest.as_secs_f64());
        print!("{name}: {time:.2} s ({failures} refused, each within {longest:.2} s); ");
    }
    println!();
    Ok(())
}
