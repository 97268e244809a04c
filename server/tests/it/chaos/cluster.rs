use std::path::Path;
use std::time::Duration;

use muster::config::Config;
use muster_api::rest::{LiveCounts, LiveQuery, LiveQueryEnvelope};
use serde_json::{Value, json};

use crate::support::mariadb::Mariadb;
use crate::support::{
    Address, Database, PASSWORD, Proxy, RedisProcess, Rest, ServerProcess, ServerSetup, eventually, on_empty_mariadb,
};

/// Settings both servers have besides the usual ones.
const FLAGS: [&str; 4] = [
    "osquery_enrolls_per_second=100000",
    "osquery_enrolls_per_second_per_secret=100000",
    "server_shutdown_timeout=10s",
    "session_logins_per_minute=1000",
];

/// Lines of each server that a failed test shows.
const LINES_SAID: usize = 200;

const FOLLOWED: &str = r#"muster_task_runs_total{outcome="done",task="follow"}"#;

/// Two real servers with TLS over one MariaDB and one Redis, both reached through proxies.
pub struct Cluster {
    pub mariadb: Mariadb,
    pub redis: RedisProcess,
    pub database_way: Proxy,
    pub redis_way: Proxy,
    pub setups: [ServerSetup; 2],
    pub servers: [Option<ServerProcess>; 2],
    /// The operator, at each of them.
    pub rest: [Rest; 2],
    config: Config,
}

impl Cluster {
    /// Both servers up and set up. `flags` are further settings of both.
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_by(None, flags).await
    }

    /// As [`Cluster::start`], with servers of another version.
    pub async fn start_by(program: Option<&Path>, flags: &[&str]) -> Self {
        Self::start_furnished(flags, |setup| setup.run_by(program)).await
    }

    /// As [`Cluster::start`], with servers that are changed before they start.
    pub async fn start_furnished(flags: &[&str], furnish: impl Fn(&mut ServerSetup)) -> Self {
        // What is committed outlives the process.
        let mariadb = tokio::task::block_in_place(|| Mariadb::start(&["--innodb-flush-log-at-trx-commit=2"]));
        let redis = RedisProcess::start().await;
        let mut config = Config::default();
        on_empty_mariadb(&mut config, &mariadb.address());
        let database_way = Proxy::to(&config.mysql.address);
        let redis_way = Proxy::to(&redis.address());
        let mysql = &config.mysql;
        let shared = [
            format!("mysql_address={}", database_way.address()),
            format!("mysql_username={}", mysql.username),
            format!("mysql_password={}", mysql.password.reveal()),
            format!("mysql_database={}", mysql.database),
            format!("mysql_max_open_conns={}", mysql.max_open_conns),
            format!("redis_address={}", redis_way.address()),
        ];
        let all: Vec<&str> = shared.iter().map(String::as_str).chain(FLAGS).chain(flags.iter().copied()).collect();
        let mut setups = [ServerSetup::on_sqlite(&all), ServerSetup::on_sqlite(&all)];
        setups.iter_mut().for_each(furnish);
        tokio::task::block_in_place(|| setups[0].prepare());
        let servers = [Some(setups[0].start().await), Some(setups[1].start().await)];
        let first = Rest::new(&setups[0].address()).set_up().await;
        let rest = [first.clone(), Rest::new(&setups[1].address()).with_token(first.token())];
        // Shorter intervals than a new server's, so that agents notice what happens within the test.
        let options = json!({ "distributed_interval": 1, "logger_tls_period": 1, "logger_tls_backoff_max": 1 });
        let spec = json!({ "agent_options": { "config": { "options": options } } });
        first.apply(&[json!({ "kind": "config", "spec": spec })]).await;
        let cluster = Self { mariadb, redis, database_way, redis_way, setups, servers, rest, config };
        cluster.has_followed(1).await;
        cluster
    }

    /// Waits until a server knows what was changed at the other one before.
    async fn has_followed(&self, server: usize) {
        let followed = async || {
            let text = self.rest[server].get("/metrics").await.text;
            let line = text.lines().find(|line| line.starts_with(FOLLOWED)).unwrap_or_default();
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap_or(0.0)
        };
        let before = followed().await;
        // One may have been under way.
        eventually("the other server follows", Duration::from_secs(20), async || {
            (followed().await >= before + 2.0).then_some(())
        })
        .await;
    }

    pub fn address(&self, server: usize) -> Address {
        self.setups[server].address()
    }

    /// The database, from outside and past the proxy.
    pub fn number(&self, sql: &str) -> i64 {
        Database::of(&self.config).number(sql)
    }

    /// Ends a server as a power loss would.
    pub fn kill(&mut self, server: usize) {
        self.servers[server].take().unwrap().kill();
    }

    pub async fn start_again(&mut self, server: usize) {
        assert!(self.servers[server].is_none());
        self.servers[server] = Some(self.setups[server].start().await);
    }

    /// The sum over both servers of all metrics whose line begins so.
    pub async fn metric(&self, begins: &str) -> f64 {
        let mut sum = 0.0;
        for rest in &self.rest {
            let text = rest.get("/metrics").await.text;
            let lines = text.lines().filter(|line| line.starts_with(begins));
            sum += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
        sum
    }

    /// What a server says of itself: status and body of `/readyz`.
    pub async fn readiness(&self, server: usize) -> (u16, Value) {
        let answer = self.rest[server].get("/readyz").await;
        (answer.status, answer.json())
    }

    /// The latest lines that the servers have logged.
    pub fn said(&self) -> String {
        let mut all = String::new();
        for server in self.servers.iter().flatten() {
            let said = server.said();
            let lines: Vec<&str> = said.lines().rev().take(LINES_SAID).collect();
            all.extend(lines.into_iter().rev().flat_map(|line| [line, "\n"]));
            all.push('\n');
        }
        all
    }

    /// Waits until both servers say that everything works, without help.
    pub async fn is_ready(&self) {
        eventually("both servers are ready again", Duration::from_secs(30), async || {
            let both = [self.readiness(0).await, self.readiness(1).await];
            both.iter().all(|(status, _)| *status == 200).then_some(())
        })
        .await;
    }

    /// Logs in anew, which reads and writes the database.
    pub async fn log_in(&self, server: usize) -> u16 {
        let body = json!({ "email": "admin@example.com", "password": PASSWORD });
        self.rest[server].anonymous().post("login", &body).await.status
    }

    /// Asks all hosts, at one of the servers.
    pub async fn ask(&self, server: usize, deadline_secs: u64) -> LiveJob {
        let request =
            json!({ "query": "SELECT 1 AS one", "targets": { "all": true }, "deadline_seconds": deadline_secs });
        let answer = self.rest[server].post("live_queries", &request).await;
        LiveJob { id: answer.read::<LiveQueryEnvelope>().live_query.id }
    }
}

/// A live query an operator watches.
#[derive(Debug, Clone, Copy)]
pub struct LiveJob {
    pub id: i64,
}

impl LiveJob {
    /// How far it is as one server says; nothing when that server cannot say. Every target is in exactly one state.
    pub async fn look(self, rest: &Rest) -> Option<LiveQuery> {
        let path = format!("live_queries/{}", self.id);
        let response = rest.getting(&path).send().await.ok()?;
        let (status, text) = (response.status().as_u16(), response.text().await.ok()?);
        if status != 200 {
            let refusal: Value = serde_json::from_str(&text).unwrap();
            assert!(status >= 500 && refusal["message"].is_string(), "{status}: {text}");
            return None;
        }
        let job = serde_json::from_str::<LiveQueryEnvelope>(&text).unwrap().live_query;
        let LiveCounts { targets, pending, sent, answered, failed, denylisted, skipped, suspect, lost, .. } =
            job.counts;
        let LiveCounts { expired, cancelled, gone, .. } = job.counts;
        let over = expired + cancelled + gone;
        let sum = pending + sent + answered + failed + denylisted + skipped + suspect + lost + over;
        assert_eq!(sum, targets, "{job:?}");
        Some(job)
    }
}
