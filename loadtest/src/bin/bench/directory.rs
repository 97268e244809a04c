//! Cost of lists, counts and searches of a large fleet, and the memory its hosts take before any of them has called.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::backend::BackendKind;
use crate::operator::Operator;
use crate::proc::{cpu_us, forget_peak, peak_bytes, rss_bytes};
use crate::process::Cores;
use crate::subject::{ConnectionMode, Programs, Stopped, Subject};

/// Hosts of the fleet.
pub const HOSTS: u64 = 500_000;

/// Requests of a kind, whose median is taken.
const REQUESTS: usize = 21;

/// Longest wait for the hosts to be loaded.
pub const LOADED_WITHIN: Duration = Duration::from_secs(120);

/// Requests of operators: how they are called in the table, method, path and body.
const OPERATIONS: [(&str, &str, &str, &str); 16] = [
    ("count of online hosts", "GET", "hosts/count?status=online", ""),
    ("count of all hosts", "GET", "hosts/count", ""),
    ("summary of all hosts by status", "POST", "targets/count", r#"{"selected":{"labels":[{all}]}}"#),
    ("page of 100 online hosts by name", "GET", "hosts?status=online&order_key=hostname&per_page=100", ""),
    (
        "page of 100 online hosts behind a name",
        "GET",
        "hosts?status=online&order_key=hostname&after=host-1000400000&per_page=100",
        "",
    ),
    ("page of 100 missing hosts by name", "GET", "hosts?status=missing&order_key=hostname&per_page=100", ""),
    ("page of 100 hosts of a label by name", "GET", "labels/{label}/hosts?order_key=hostname&per_page=100", ""),
    ("page of 100 hosts, last seen first", "GET", "hosts?order_key=seen_time&order_direction=desc&per_page=100", ""),
    ("text search that finds one host", "GET", "hosts?query=HOST-1000499999&per_page=20", ""),
    (
        "count of targets by label and platform",
        "POST",
        "targets/count",
        r#"{"selected":{"labels":[{label},{platform}]}}"#,
    ),
    ("summary by status and platform", "GET", "host_summary", ""),
    ("page of 100 hosts of a system by name", "GET", "hosts?os_name=Ubuntu&order_key=hostname&per_page=100", ""),
    (
        "page of 100 hosts behind a host in another order",
        "GET",
        "hosts?order_key=platform&after=ubuntu&after_id=250000&per_page=100",
        "",
    ),
    ("search for the first ten hosts", "POST", "hosts/search", r#"{"query":"HOST-10004"}"#),
    ("count of hosts with little disk space", "GET", "hosts/count?low_disk_space=4", ""),
    ("count of what would be deleted", "POST", "hosts/delete", r#"{"filters":{"status":"missing"},"dry_run":true}"#),
];

/// Longest time of an export of all hosts.
const EXPORTED_WITHIN: Duration = Duration::from_secs(300);

/// An export of all hosts as comma-separated values.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Export {
    pub bytes: u64,
    pub seconds: f64,
    /// CPU time of the server.
    pub cpu_seconds: f64,
    /// Memory that the server had resident before, and at most meanwhile.
    pub before_bytes: u64,
    pub peak_bytes: u64,
}

impl Export {
    async fn measure(server: &Subject, operator: &Operator) -> Result<Self> {
        let pid = server.process.pid;
        forget_peak(pid)?;
        let (before_bytes, cpu, begun) = (rss_bytes(pid)?, cpu_us(pid)?, Instant::now());
        let bytes = operator.drain(EXPORTED_WITHIN, "hosts/report?format=csv").await?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu_seconds = (cpu_us(pid)? - cpu) as f64 / 1_000_000.0;
        Ok(Self { bytes, seconds, cpu_seconds, before_bytes, peak_bytes: peak_bytes(pid)? })
    }

    fn render(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        format!(
            "| CSV of all hosts | {:.0} MiB in {:.1} s, {:.1} s of CPU |\n| memory for it | {:.1} MiB more than before |\n",
            mib(self.bytes),
            self.seconds,
            self.cpu_seconds,
            mib(self.peak_bytes.saturating_sub(self.before_bytes)),
        )
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Directory {
    pub hosts: u64,
    /// From the start of the server until a count is answered.
    pub load_seconds: f64,
    /// Resident with all hosts, and without any.
    pub resident_bytes: u64,
    pub empty_bytes: u64,
    /// Milliseconds of each operation.
    pub operations: Vec<(String, f64)>,
    /// Absent from what was measured before there was one.
    #[serde(default)]
    pub export: Option<Export>,
}

impl Directory {
    /// As a table.
    pub fn render(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        let per_host = self.resident_bytes.saturating_sub(self.empty_bytes) as f64 / self.hosts as f64;
        let operations: String =
            self.operations.iter().map(|(name, millis)| format!("| {name} | {millis:.1} ms |\n")).collect();
        format!(
            "| {} hosts | |\n|---|---:|\n| loaded after | {:.1} s |\n| resident | {:.0} MiB, {per_host:.0} bytes for each host |\n{operations}{}",
            self.hosts,
            self.load_seconds,
            mib(self.resident_bytes),
            self.export.as_ref().map(Export::render).unwrap_or_default(),
        )
    }
}

pub async fn measure(programs: &Programs, kind: BackendKind) -> Result<Directory> {
    let mode = ConnectionMode::BalancedPlain;
    let server = Subject::server(programs, kind, mode, Cores::All, &[]).await?;
    server.set_up().await?;
    let operator = Operator::log_in(&server).await?;
    let empty_bytes = rss_bytes(server.process.pid)?;
    let [all, label, platform] = [
        label_id(&operator, "All Hosts").await?,
        label_id(&operator, "All Linux").await?,
        label_id(&operator, "Ubuntu Linux").await?,
    ];
    let stopped = server.stopped().await?;
    fill(&stopped, 0, label, platform).await?;
    let begun = Instant::now();
    let server = stopped.start().await?;
    let deadline = begun + LOADED_WITHIN;
    while operator.ask("GET", "hosts/count", "").await.is_err() {
        ensure!(Instant::now() < deadline, "the hosts are not loaded within {} s", LOADED_WITHIN.as_secs());
    }
    let load_seconds = begun.elapsed().as_secs_f64();
    let mut operations = Vec::new();
    for (name, method, path, body) in OPERATIONS {
        let ids = [("{all}", all), ("{label}", label), ("{platform}", platform)];
        let with_ids =
            |text: &str| ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, &id.to_string()));
        let (path, body) = (with_ids(path), with_ids(body));
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            let begun = Instant::now();
            operator.ask(method, &path, &body).await?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        operations.push((name.to_owned(), times[REQUESTS / 2]));
    }
    let resident_bytes = rss_bytes(server.process.pid)?;
    let export = Some(Export::measure(&server, &operator).await?);
    server.stop().await?;
    Ok(Directory { hosts: HOSTS, load_seconds, resident_bytes, empty_bytes, operations, export })
}

pub async fn label_id(operator: &Operator, name: &str) -> Result<i64> {
    let labels = operator.json("GET", "labels", "").await?;
    let label = labels["labels"].as_array().into_iter().flatten().find(|label| label["name"] == name);
    label.and_then(|label| label["id"].as_i64()).with_context(|| format!("there is no label {name}"))
}

/// Puts the fleet into the database. A tenth of its hosts is in both labels; one of ten thousand is missing, the others are
/// online for an hour. Names stand in another order than ids, and no two hosts in a row were seen in the same second. So many
/// hosts are there already.
pub async fn fill(stopped: &Stopped, there: u64, label: i64, platform: i64) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros();
    let texts = "instance_id, platform_like, build, code_name, cpu_type, cpu_subtype, cpu_brand, hardware_vendor, \
         hardware_version, primary_mac, shard_hostname";
    let numbers = "cpu_physical_cores, cpu_logical_cores, uptime_secs, logger_tls_period, gigs_disk_space_available, \
         percent_disk_space_available, refetch_requested";
    let times = "created_at, updated_at, enrolled_at, detail_updated_at, label_updated_at";
    let many = |value: &str, columns: &str| vec![value.to_owned(); columns.split(',').count()].join(", ");
    let numbered = format!(
        "WITH RECURSIVE n(i) AS (SELECT {there} + 1 UNION ALL SELECT i + 1 FROM n WHERE i < {HOSTS}) \
         SELECT i, i * 7919 % {HOSTS} + 1000000000 AS j, \
             {now} - CASE WHEN i % 10000 = 0 THEN 31 * 86400000000 ELSE i * 7 % 600 * 1000000 END AS seen FROM n"
    );
    let hosts = format!(
        "INSERT INTO hosts (id, identifier, claimed_identifier, hostname, computer_name, uuid, hardware_serial, primary_ip, \
             platform, os_version, osquery_version, hardware_model, memory, seen_at, distributed_interval, config_refresh, \
             {texts}, {numbers}, {times}) \
         SELECT i, {uuid}, {uuid}, {name}, {name}, {uuid}, {serial}, '10.20.30.40', 'ubuntu', 'Ubuntu 24.04', '5.23.1', 'Model X', \
             17179869184, seen, 3600, 3600, {text}, {number}, {time} FROM ({numbered}) AS numbered",
        uuid = stopped.joined(&["'00000000-0000-4000-8000-00'", "j"]),
        name = stopped.joined(&["'host-'", "j", "'.example.com'"]),
        serial = stopped.joined(&["'SN'", "j"]),
        text = many("'some text'", texts),
        number = many("4", numbers),
        time = many(&now.to_string(), times),
    );
    let members = |label: i64, every: u64| {
        format!(
            "INSERT INTO label_members (label_id, host_id) SELECT {label}, id FROM hosts WHERE id > {there} AND id % {every} = 0"
        )
    };
    let all = format!(
        "INSERT INTO label_members (label_id, host_id) SELECT labels.id, hosts.id FROM hosts, labels WHERE labels.name = 'All Hosts' AND hosts.id > {there}"
    );
    for statement in [hosts.as_str(), &all, &members(label, 2), &members(platform, 10)] {
        stopped.execute(statement).await?;
    }
    Ok(())
}
