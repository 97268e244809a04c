use std::collections::{HashMap, HashSet};

use muster_api::rest::{Impact, LabelList, Query, QueryList, QueryStats};
use muster_api::spec::{LabelMembership, LabelSpec, LabelType, PackSpec, QuerySpec};

use super::print::{self, PrintedDocument};
use super::{LabelArgs, PackArgs, QueryArgs, fetch, format};
use crate::commands::costs;
use crate::rest::RestClient;
use crate::{output, table};

pub async fn queries(server: &RestClient, args: QueryArgs) -> anyhow::Result<()> {
    let QueryArgs { name, format } = args;
    let found: Vec<QuerySpec> = fetch::specs(server, "queries", "query", name.as_deref()).await?;
    if format.is_documents(name.is_some()) {
        return print::items(&PrintedDocument::all("query", &found)?, format);
    }
    if format.is_names() {
        return format::names(found.iter().map(|query| &query.name));
    }
    if found.is_empty() {
        output::note("No queries found");
        return Ok(());
    }
    let listed = server.get::<QueryList>("queries").await?.queries;
    let mut listed: HashMap<String, Query> = listed.into_iter().map(|query| (query.name.clone(), query)).collect();
    let rows = found.into_iter().map(|query| {
        let listed = listed.remove(&query.name);
        let cost = listed.as_ref().and_then(|listed| listed.stats.as_ref()).map(ListedCost::of).unwrap_or_default();
        let mut row = [vec![query.name, query.description, query.query], cost.cells()].concat();
        if format.is_wide() {
            let packs = listed.iter().flat_map(|listed| &listed.packs).map(|pack| pack.name.as_str());
            let mut packs: Vec<&str> = packs.collect();
            packs.sort_unstable();
            row.extend([
                listed.as_ref().map(|listed| listed.id.to_string()).unwrap_or_default(),
                query.observer_can_run.to_string(),
                packs.join(", "),
                listed.as_ref().map(|listed| listed.author_email.clone()).unwrap_or_default(),
            ]);
        }
        row
    });
    let wide: &[&str] = if format.is_wide() { &["id", "observer can run", "packs", "author"] } else { &[] };
    output::data(&table::grid(&[&["name", "description", "query"], &COST_COLUMNS[..], wide].concat(), rows))
}

pub async fn labels(server: &RestClient, args: LabelArgs) -> anyhow::Result<()> {
    let LabelArgs { name, format } = args;
    let found: Vec<LabelSpec> = fetch::specs(server, "labels", "label", name.as_deref()).await?;
    if format.is_documents(name.is_some()) {
        return print::items(&PrintedDocument::all("label", &found)?, format);
    }
    if format.is_names() {
        return format::names(found.iter().map(|label| &label.name));
    }
    if found.is_empty() {
        output::note("No labels found");
        return Ok(());
    }
    let mut counts = HashMap::new();
    if format.is_wide() {
        let listed = server.get::<LabelList>("labels").await?.labels;
        counts.extend(listed.into_iter().map(|label| (label.name, label.count)));
    }
    let rows = found.into_iter().map(|label| {
        let more = format.is_wide().then(|| {
            let membership = match label.label_membership_type {
                LabelMembership::Dynamic => "dynamic",
                LabelMembership::Manual => "manual",
            };
            let kind = if label.label_type == LabelType::Builtin { "builtin" } else { "regular" };
            let hosts = counts.get(&label.name).map(u64::to_string).unwrap_or_default();
            [kind.to_owned(), membership.to_owned(), hosts]
        });
        let mut row = vec![label.name, label.platform, label.description, label.query];
        row.extend(more.into_iter().flatten());
        row
    });
    let wide: &[&str] = if format.is_wide() { &["type", "membership", "hosts"] } else { &[] };
    output::data(&table::grid(&[&["name", "platform", "description", "query"], wide].concat(), rows))
}

pub async fn packs(server: &RestClient, args: PackArgs) -> anyhow::Result<()> {
    let PackArgs { name, format, with_queries } = args;
    let found: Vec<PackSpec> = fetch::specs(server, "packs", "pack", name.as_deref()).await?;
    if format.is_documents(name.is_some()) {
        let mut items = PrintedDocument::all("pack", &found)?;
        if with_queries {
            items.extend(PrintedDocument::all("query", &scheduled(server, &found).await?)?);
        }
        return print::items(&items, format);
    }
    if format.is_names() {
        return format::names(found.iter().map(|pack| &pack.name));
    }
    if found.is_empty() {
        output::note("No packs found");
        return Ok(());
    }
    let costs = pack_costs(server).await?;
    let rows = found.into_iter().map(|pack| {
        let cost = costs.get(&pack.name).copied().unwrap_or_default();
        let more = format.is_wide().then(|| {
            let shard = pack.shard.map(|shard| format!("{shard} %")).unwrap_or_default();
            [pack.queries.len().to_string(), pack.targets.labels.join(", "), pack.version.clone(), shard]
        });
        let mut row =
            [vec![pack.name, pack.platform, pack.description, pack.disabled.to_string()], cost.cells()].concat();
        row.extend(more.into_iter().flatten());
        row
    });
    let wide: &[&str] = if format.is_wide() { &["queries", "labels", "version", "shard"] } else { &[] };
    output::data(&table::grid(
        &[&["name", "platform", "description", "disabled"], &COST_COLUMNS[..], wide].concat(),
        rows,
    ))
}

const COST_COLUMNS: [&str; 3] = ["impact", "cpu p95", "denylisted"];

/// Cost of a query on its hosts, or of the dearest one of a pack.
#[derive(Debug, Clone, Copy)]
struct ListedCost {
    impact: Impact,
    /// Milliseconds.
    cpu_time_p95: Option<f64>,
    denylisted_hosts: u64,
}

impl Default for ListedCost {
    fn default() -> Self {
        Self { impact: Impact::Undetermined, cpu_time_p95: None, denylisted_hosts: 0 }
    }
}

impl ListedCost {
    fn of(stats: &QueryStats) -> Self {
        let QueryStats { impact, cpu_time_p95, denylisted_hosts, .. } = *stats;
        Self { impact, cpu_time_p95, denylisted_hosts }
    }

    fn cells(self) -> Vec<String> {
        let cpu_time = self.cpu_time_p95.map_or_else(|| "-".to_owned(), costs::millis);
        vec![costs::impact(self.impact).to_owned(), cpu_time, self.denylisted_hosts.to_string()]
    }
}

/// Costs by name of the pack.
async fn pack_costs(server: &RestClient) -> anyhow::Result<HashMap<String, ListedCost>> {
    let mut by_pack: HashMap<String, ListedCost> = HashMap::new();
    for query in costs::of_fleet(server).await?.queries {
        let pack = by_pack.entry(query.pack).or_default();
        let cpu_time = query.cost.cpu_time.map(|cpu| cpu.p95);
        pack.impact = pack.impact.max(query.impact);
        pack.cpu_time_p95 = [pack.cpu_time_p95, cpu_time].into_iter().flatten().reduce(f64::max);
        pack.denylisted_hosts = pack.denylisted_hosts.max(query.denylisted_hosts);
    }
    Ok(by_pack)
}

/// The saved queries that the packs schedule.
async fn scheduled(server: &RestClient, packs: &[PackSpec]) -> anyhow::Result<Vec<QuerySpec>> {
    let names: HashSet<&str> =
        packs.iter().flat_map(|pack| &pack.queries).map(|scheduled| scheduled.query.as_str()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<QuerySpec> = fetch::specs(server, "queries", "query", None).await?;
    Ok(all.into_iter().filter(|query| names.contains(query.name.as_str())).collect())
}
