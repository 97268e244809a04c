use std::collections::HashMap;

use anyhow::bail;
use chrono::{DateTime, SecondsFormat, Utc};
use muster_api::rest::{
    BucketCost, Denylist, FleetCosts, GlobalSchedule, QueryCostReport, WorkerRestart, WorkerRestarts,
};
use muster_api::spec::PackSpec;

use super::{DenylistArgs, ReportFormat, RestartArgs, StatsArgs, fetch};
use crate::commands::{costs, labels};
use crate::rest::RestClient;
use crate::{output, table};

/// The pack of the global schedule, as agents see it.
const GLOBAL: &str = "Global";

/// Hosts and groups that a report shows.
const SHOWN: usize = 10;

/// Prints what one scheduled query costs, or all of them.
pub async fn stats(server: &RestClient, args: StatsArgs) -> anyhow::Result<()> {
    let Some(name) = &args.name else { return all(server, args.format).await };
    let fleet = costs::of_fleet(server).await?;
    let meant = meant(server, &fleet, name, args.pack.as_deref()).await?;
    let (pack, name) = (&meant.pack, &meant.name);
    // By the server's clock.
    let to = fleet.to;
    let from = to - chrono::Duration::hours(i64::from(args.days) * 24);
    let moment = |moment: DateTime<Utc>| moment.to_rfc3339_opts(SecondsFormat::Secs, true);
    let label = match &args.label {
        Some(label) => format!("&label_id={}", labels::id_of(server, label).await?),
        None => String::new(),
    };
    let path = format!("{}&from={}&to={}{label}", costs::query_path(pack, name), moment(from), moment(to));
    let report: QueryCostReport = server.get(&path).await?;
    if args.format.printed(std::slice::from_ref(&report))? {
        return Ok(());
    }
    if report.total.executions > 0 {
        return output::data(&text_of(&report));
    }
    let full_name = costs::full_name(pack, name);
    match meant.interval {
        Some(interval) => {
            let days = if args.days == 1 { "the last day".to_owned() } else { format!("the last {} days", args.days) };
            output::note(&format!(
                "{full_name:?} is scheduled every {interval} s; no cost of it is known for {days}. Hosts run it when that \
                 time has passed, and are asked once in statistics.interval, an hour by default"
            ));
            Ok(())
        }
        None => bail!(
            "{full_name:?} is not scheduled, and no statistics of it are kept; list them with: fleetctl get stats"
        ),
    }
}

/// A scheduled query that is meant by a name.
struct MeantQuery {
    pack: String,
    name: String,
    /// Seconds, unless it is scheduled no more.
    interval: Option<u32>,
}

/// The scheduled query that is meant by `NAME` or `PACK/NAME`. Not all have a cost yet, and some that have one are scheduled no
/// more.
async fn meant(server: &RestClient, fleet: &FleetCosts, name: &str, pack: Option<&str>) -> anyhow::Result<MeantQuery> {
    let is_meant = |of_pack: &str, of_name: &str| match pack {
        Some(pack) => of_pack == pack && of_name == name,
        None => of_name == name || costs::full_name(of_pack, of_name) == name,
    };
    let measured = fleet.queries.iter().map(|query| (query.pack.clone(), query.name.clone()));
    let mut found: Vec<_> = measured.filter(|(pack, name)| is_meant(pack, name)).collect();
    let scheduled = scheduled(server).await?;
    let of_schedule = scheduled.keys().filter(|(pack, name)| is_meant(pack, name));
    found.extend(of_schedule.cloned());
    found.sort_unstable();
    found.dedup();
    match (found.as_slice(), pack) {
        ([one], _) => {
            Ok(MeantQuery { pack: one.0.clone(), name: one.1.clone(), interval: scheduled.get(one).copied() })
        }
        // One that was scheduled once may have statistics still.
        ([], Some(pack)) => Ok(MeantQuery { pack: pack.to_owned(), name: name.to_owned(), interval: None }),
        ([], None) => bail!(
            "no scheduled query is named {name:?}; list them with: fleetctl get stats. Name the pack of one that is \
             scheduled no more with --pack"
        ),
        (several, _) => {
            let packs: Vec<&str> = several.iter().map(|(pack, _)| pack.as_str()).collect();
            bail!("{name:?} is scheduled by several packs: {}. Choose one with --pack", packs.join(", "))
        }
    }
}

/// The intervals of the queries of all packs, by pack and name.
async fn scheduled(server: &RestClient) -> anyhow::Result<HashMap<(String, String), u32>> {
    let packs: Vec<PackSpec> = fetch::specs(server, "packs", "pack", None).await?;
    let global: GlobalSchedule = server.get("global/schedule").await?;
    let of_packs = packs.iter().flat_map(|pack| {
        pack.queries.iter().map(|query| ((pack.name.clone(), query.scheduled_name().to_owned()), query.interval))
    });
    let global = global.global_schedule.into_iter().map(|query| ((GLOBAL.to_owned(), query.name), query.interval));
    Ok(of_packs.chain(global).collect())
}

async fn all(server: &RestClient, format: ReportFormat) -> anyhow::Result<()> {
    let fleet = costs::of_fleet(server).await?;
    if format.printed(std::slice::from_ref(&fleet))? {
        return Ok(());
    }
    if fleet.queries.is_empty() {
        output::note("No costs known yet: hosts are asked once in statistics.interval, an hour by default");
        return Ok(());
    }
    let rows = fleet.queries.iter().map(|query| {
        let cpu = query.cost.cpu_time.as_ref();
        vec![
            costs::full_name(&query.pack, &query.name),
            costs::impact(query.impact).to_owned(),
            costs::percentile(cpu, |cpu| cpu.p50, costs::millis),
            costs::percentile(cpu, |cpu| cpu.p95, costs::millis),
            query.cost.executions.to_string(),
            query.cost.hosts.to_string(),
            format!("{:.1} %", query.share * 100.0),
            query.denylisted_hosts.to_string(),
        ]
    });
    let columns = ["query", "impact", "cpu p50", "cpu p95", "runs", "hosts", "share", "denylisted"];
    output::data(&table::grid(&columns, rows))
}

fn text_of(report: &QueryCostReport) -> String {
    let QueryCostReport { total, buckets, .. } = report;
    let day = |moment: DateTime<Utc>| moment.format("%Y-%m-%d %H:%M").to_string();
    let mut text = format!(
        "{}, {} to {} (UTC)\nimpact: {}, runs: {}, hosts: {}, CPU: {:.1} s, denylisted on: {}\n\n",
        costs::full_name(&report.pack, &report.name),
        day(report.from),
        day(report.to),
        costs::impact(report.impact),
        total.executions,
        total.hosts,
        total.cpu_seconds,
        report.denylisted_hosts,
    );
    if let (Some(first), Some(last)) = (buckets.first(), buckets.last()) {
        let p95 = |bucket: &BucketCost| bucket.cost.cpu_time.map(|cpu| cpu.p95);
        let most = buckets.iter().filter_map(p95).fold(0.0, f64::max);
        let chart = costs::chart(buckets.iter().map(p95));
        text.push_str(&format!(
            "CPU of a run, 95th percentile, at most {}:\n{} {chart} {}\n\n",
            costs::millis(most),
            day(first.start),
            day(last.start)
        ));
    }
    let measures = [
        ("CPU time", &total.cpu_time, costs::millis as fn(f64) -> String),
        ("user time", &total.user_time, costs::millis),
        ("system time", &total.system_time, costs::millis),
        ("wall time", &total.wall_time, costs::millis),
        ("memory", &total.memory, costs::bytes),
        ("output", &total.output_size, costs::bytes),
    ];
    let rows = measures.map(|(name, measure, in_words)| {
        let one = |of: fn(&muster_api::rest::CostPercentiles) -> f64| costs::percentile(measure.as_ref(), of, in_words);
        vec![name.to_owned(), one(|measure| measure.p50), one(|measure| measure.p95), one(|measure| measure.p99)]
    });
    text.push_str(&table::grid(&["a run", "p50", "p95", "p99"], rows));
    let groups = report.groups.iter().take(SHOWN).map(|group| {
        let platform = if group.platform.is_empty() { "others" } else { &group.platform };
        vec![
            platform.to_owned(),
            group.osquery_version.clone(),
            costs::percentile(group.cost.cpu_time.as_ref(), |cpu| cpu.p95, costs::millis),
            group.cost.executions.to_string(),
        ]
    });
    if let Some(label) = &report.label {
        let cpu = label.cost.cpu_time.as_ref();
        text.push_str(&format!(
            "\nlabel: hosts: {}, sampled: {}, runs: {}, CPU p50: {}, p95: {}\n",
            label.label_hosts,
            label.sampled_hosts,
            label.cost.executions,
            costs::percentile(cpu, |cpu| cpu.p50, costs::millis),
            costs::percentile(cpu, |cpu| cpu.p95, costs::millis),
        ));
    }
    text.push_str(&section("platforms", &["platform", "osquery", "cpu p95", "runs"], groups.collect()));
    let hosts = report.worst_hosts.iter().take(SHOWN).map(|host| {
        vec![name_of(host.host_id, &host.hostname), costs::millis(host.cpu_time), host.executions.to_string()]
    });
    text.push_str(&section("hosts", &["host", "cpu of a run", "runs"], hosts.collect()));
    text
}

fn section(name: &str, columns: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() { String::new() } else { format!("\n{name}:\n{}", table::grid(columns, rows)) }
}

/// A host by its name, or by its id if it is gone.
fn name_of(host_id: i64, hostname: &str) -> String {
    if hostname.is_empty() { format!("host {host_id}") } else { hostname.to_owned() }
}

/// Prints the queries that agents have denylisted.
pub async fn denylist(server: &RestClient, args: DenylistArgs) -> anyhow::Result<()> {
    let lifted = if args.lifted { "?lifted=true" } else { "" };
    let found: Denylist = server.get(&format!("statistics/denylist{lifted}")).await?;
    if args.format.printed(&found.denylist)? {
        return Ok(());
    }
    if found.denylist.is_empty() {
        output::note("No queries denylisted");
        return Ok(());
    }
    let rows = found.denylist.iter().map(|denylisted| {
        let mut row = vec![
            name_of(denylisted.host_id, &denylisted.hostname),
            costs::full_name(&denylisted.pack, &denylisted.name),
            denylisted.since.to_string(),
        ];
        if args.lifted {
            row.push(denylisted.until.map(|until| until.to_string()).unwrap_or_default());
        }
        row
    });
    let columns = ["host", "query", "since", "until"];
    output::data(&table::grid(&columns[..if args.lifted { 4 } else { 3 }], rows))
}

/// Prints the workers of agents that were replaced.
pub async fn restarts(server: &RestClient, args: RestartArgs) -> anyhow::Result<()> {
    let found: WorkerRestarts = server.get("statistics/restarts").await?;
    if args.format.printed(&found.restarts)? {
        return Ok(());
    }
    if found.restarts.is_empty() {
        output::note("No workers were replaced");
        return Ok(());
    }
    let rows = found
        .restarts
        .iter()
        .map(|restart| vec![name_of(restart.host_id, &restart.hostname), restart.seen_at.to_string(), cause(restart)]);
    output::data(&table::grid(&["host", "seen", "cause"], rows))
}

/// What is known of why a worker was replaced.
pub fn cause(restart: &WorkerRestart) -> String {
    let suspects: Vec<String> =
        restart.suspects.iter().map(|suspect| costs::full_name(&suspect.pack, &suspect.name)).collect();
    match (suspects.is_empty(), restart.is_upgrade) {
        (false, _) => suspects.join(", "),
        (true, true) => "another version".to_owned(),
        (true, false) => "-".to_owned(),
    }
}
