//! Faults that the chaos test picks from, how each begins, and how it ends.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::certificates::Authority;
use super::cluster::Cluster;
use crate::support::{Passage, eventually};

/// How much later what goes to a slow part arrives. More than `redis.read_timeout`, less than `osquery.store_timeout`.
const LATE: Duration = Duration::from_millis(1_200);

/// How many seconds a clock is off: clocks must agree within five seconds.
const SKEW: [i64; 2] = [4, -4];

/// Bytes that the log of results may still grow before the disk of a server counts as full.
const ROOM: u64 = 2_000;

/// How long a server may take to stop by itself.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// What fails. Faults of one part do not happen at one time; those of servers begin first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillServer,
    RestartServer,
    KillLeader,
    SkewClock,
    FillDisk,
    RenewCertificate,
    KillDatabase,
    ReadOnlyDatabase,
    SlowDatabase,
    SilentDatabase,
    CutDatabase,
    KillRedis,
    SlowRedis,
    SilentRedis,
    CutRedis,
}

const ALL: [Fault; 15] = [
    Fault::KillServer,
    Fault::RestartServer,
    Fault::KillLeader,
    Fault::SkewClock,
    Fault::FillDisk,
    Fault::RenewCertificate,
    Fault::KillDatabase,
    Fault::ReadOnlyDatabase,
    Fault::SlowDatabase,
    Fault::SilentDatabase,
    Fault::CutDatabase,
    Fault::KillRedis,
    Fault::SlowRedis,
    Fault::SilentRedis,
    Fault::CutRedis,
];

/// What can fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Servers,
    Database,
    Redis,
}

impl Fault {
    fn part(self) -> Part {
        match self {
            Self::KillServer
            | Self::RestartServer
            | Self::KillLeader
            | Self::SkewClock
            | Self::FillDisk
            | Self::RenewCertificate => Part::Servers,
            Self::KillDatabase
            | Self::ReadOnlyDatabase
            | Self::SlowDatabase
            | Self::SilentDatabase
            | Self::CutDatabase => Part::Database,
            Self::KillRedis | Self::SlowRedis | Self::SilentRedis | Self::CutRedis => Part::Redis,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillServer => "kill a server",
            Self::RestartServer => "restart a server",
            Self::KillLeader => "kill the leading server",
            Self::SkewClock => "set a clock off by 4 s",
            Self::FillDisk => "fill a disk",
            Self::RenewCertificate => "renew certificates",
            Self::KillDatabase => "kill the database",
            Self::ReadOnlyDatabase => "make the database read-only",
            Self::SlowDatabase => "slow the database",
            Self::SilentDatabase => "silence the database",
            Self::CutDatabase => "cut off the database",
            Self::KillRedis => "kill Redis",
            Self::SlowRedis => "slow Redis",
            Self::SilentRedis => "silence Redis",
            Self::CutRedis => "cut off Redis",
        })
    }
}

/// Faults at one time, each of another part, with the server and the clock they are of.
#[derive(Debug, Clone)]
pub struct Strike {
    pub faults: Vec<Fault>,
    server: usize,
    skew: i64,
    pub lasts: Duration,
}

impl Strike {
    /// One fault, or in one case of four two of them.
    pub fn pick(random: &mut StdRng, longest: Duration) -> Self {
        let mut faults = vec![*ALL.choose(random).unwrap()];
        if random.random_ratio(1, 4) {
            let others: Vec<Fault> = ALL.into_iter().filter(|other| other.part() != faults[0].part()).collect();
            faults.push(*others.choose(random).unwrap());
            // A server that is started needs what fails with it.
            faults.sort();
        }
        let lasts = random.random_range(Duration::from_secs(1)..longest);
        Self { faults, server: random.random_range(0..2), skew: *SKEW.choose(random).unwrap(), lasts }
    }

    /// A server, the leading one, or the database is killed.
    pub fn kill(random: &mut StdRng) -> Self {
        let fault = *[Fault::KillServer, Fault::KillLeader, Fault::KillDatabase].choose(random).unwrap();
        let lasts = random.random_range(Duration::from_millis(200)..Duration::from_secs(2));
        Self { faults: vec![fault], server: random.random_range(0..2), skew: SKEW[0], lasts }
    }

    pub async fn begin(&mut self, cluster: &mut Cluster, authority: &Authority) {
        for fault in self.faults.clone() {
            match fault {
                Fault::KillServer => cluster.kill(self.server),
                Fault::KillLeader => {
                    self.server = leader(cluster).await.unwrap_or(self.server);
                    cluster.kill(self.server);
                }
                Fault::RestartServer => stop(cluster, self.server).await,
                Fault::SkewClock => {
                    stop(cluster, self.server).await;
                    cluster.setups[self.server].set_clock_off(Some(self.skew));
                    cluster.start_again(self.server).await;
                    let off = clock_of(cluster, self.server).await - jiff::Timestamp::now().as_second();
                    assert!((off - self.skew).abs() <= 2, "the clock is off by {off} s, not by {} s", self.skew);
                }
                Fault::FillDisk => {
                    let size = std::fs::metadata(cluster.setups[self.server].results()).map_or(0, |file| file.len());
                    limit_files(cluster, self.server, &(size + ROOM).to_string());
                }
                Fault::RenewCertificate => {
                    for (setup, server) in cluster.setups.iter().zip(&cluster.servers) {
                        authority.issue(setup.folder());
                        server.as_ref().unwrap().signal("HUP");
                    }
                }
                Fault::KillDatabase => cluster.mariadb.kill(),
                Fault::ReadOnlyDatabase => cluster.mariadb.admin().execute("SET GLOBAL read_only = 1").unwrap(),
                Fault::SlowDatabase => cluster.database_way.set(Passage::Slow(LATE)),
                Fault::SilentDatabase => cluster.database_way.set(Passage::Frozen),
                Fault::CutDatabase => cluster.database_way.set(Passage::Cut),
                Fault::KillRedis => cluster.redis.kill(),
                Fault::SlowRedis => cluster.redis_way.set(Passage::Slow(LATE)),
                Fault::SilentRedis => cluster.redis_way.set(Passage::Frozen),
                Fault::CutRedis => cluster.redis_way.set(Passage::Cut),
            }
        }
    }

    /// Parts are there again before servers are: a server starts only with its database.
    pub async fn end(&self, cluster: &mut Cluster) {
        for fault in self.faults.iter().rev() {
            match fault.part() {
                Part::Servers => {}
                Part::Database if *fault == Fault::KillDatabase => {
                    tokio::task::block_in_place(|| cluster.mariadb.resume());
                }
                Part::Database if *fault == Fault::ReadOnlyDatabase => {
                    cluster.mariadb.admin().execute("SET GLOBAL read_only = 0").unwrap();
                }
                Part::Database => cluster.database_way.set(Passage::Open),
                Part::Redis if *fault == Fault::KillRedis => cluster.redis.restart().await,
                Part::Redis => cluster.redis_way.set(Passage::Open),
            }
        }
        for fault in &self.faults {
            match fault {
                Fault::KillServer | Fault::KillLeader | Fault::RestartServer => {
                    cluster.start_again(self.server).await;
                }
                Fault::SkewClock => {
                    stop(cluster, self.server).await;
                    cluster.setups[self.server].set_clock_off(None);
                    cluster.start_again(self.server).await;
                }
                Fault::FillDisk => limit_files(cluster, self.server, "unlimited"),
                _ => {}
            }
        }
    }
}

/// The server that leads, if one says so.
async fn leader(cluster: &Cluster) -> Option<usize> {
    for (server, rest) in cluster.rest.iter().enumerate() {
        if rest.get("/metrics").await.text.lines().any(|line| line == "muster_is_leader 1") {
            return Some(server);
        }
    }
    None
}

/// The time of a server, in seconds since 1970.
async fn clock_of(cluster: &Cluster, server: usize) -> i64 {
    let answer = cluster.rest[server].get("/healthz").await;
    jiff::fmt::rfc2822::parse(answer.headers["date"].to_str().unwrap()).unwrap().timestamp().as_second()
}

async fn stop(cluster: &mut Cluster, server: usize) {
    let mut stopping = cluster.servers[server].take().unwrap();
    stopping.signal("TERM");
    stopping.ended(STOPPED_WITHIN).await;
}

/// Sets how large the files of a server may grow.
fn limit_files(cluster: &Cluster, server: usize, bytes: &str) {
    let pid = cluster.servers[server].as_ref().unwrap().pid().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

/// Waits until both servers show the certificate that stands in their folder: agents that come anew need it.
pub async fn are_served(cluster: &Cluster, within: Duration) {
    for rest in &cluster.rest {
        eventually("an operator connects anew", within, async || {
            rest.anonymous().getting("/healthz").send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }
}
