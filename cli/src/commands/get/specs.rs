use std::collections::{HashMap, HashSet};

use muster_api::rest::{Impact, QueryList, QueryStats};
use muster_api::spec::{LabelSpec, PackSpec, QuerySpec};

use super::print::{self, PrintedDocument};
use super::{Args, PackArgs, fetch};
use crate::commands::costs;
use crate::rest::RestClient;
use crate::{output, table};

pub async fn queries(server: &RestClient, args: Args) -> anyhow::Result<()> {
    let name = args.name.as_deref();
    let found: Vec<QuerySpec> = fetch::specs(server, "queries", "query", name).await?;
    if args.format.is_documents(name.is_some()) {
        return print::items(&PrintedDocument::all("query", &found)?, args.format);
    }
    if found.is_empty() {
        output::note("No queries found");
        return Ok(());
    }
    let costs = query_costs(server).await?;
    let rows = found.into_iter().map(|query| {
        let cost = costs.get(&query.name).copied().unwrap_or_default();
        [vec![query.name, query.description, query.query], cost.cells()].concat()
    });
    output::data(&table::grid(&[&["name", "description", "query"][..], &COST_COLUMNS].concat(), rows))
}

pub async fn labels(server: &RestClient, args: Args) -> anyhow::Result<()> {
    let name = args.name.as_deref();
    let found: Vec<LabelSpec> = fetch::specs(server, "labels", "label", name).await?;
    if args.format.is_documents(name.is_some()) {
        return print::items(&PrintedDocument::all("label", &found)?, args.format);
    }
    if found.is_empty() {
        output::note("No labels found");
        return Ok(());
    }
    let rows = found.into_iter().map(|label| vec![label.name, label.platform, label.description, label.query]);
    output::data(&table::grid(&["name", "platform", "description", "query"], rows))
}

pub async fn packs(server: &RestClient, args: PackArgs) -> anyhow::Result<()> {
    let PackArgs { args, with_queries } = args;
    let name = args.name.as_deref();
    let found: Vec<PackSpec> = fetch::specs(server, "packs", "pack", name).await?;
    if args.format.is_documents(name.is_some()) {
        let mut items = PrintedDocument::all("pack", &found)?;
        if with_queries {
            items.extend(PrintedDocument::all("query", &scheduled(server, &found).await?)?);
        }
        return print::items(&items, args.format);
    }
    if found.is_empty() {
        output::note("No packs found");
        return Ok(());
    }
    let costs = pack_costs(server).await?;
    let rows = found.into_iter().map(|pack| {
        let cost = costs.get(&pack.name).copied().unwrap_or_default();
        [vec![pack.name, pack.platform, pack.description, pack.disabled.to_string()], cost.cells()].concat()
    });
    output::data(&table::grid(&[&["name", "platform", "description", "disabled"][..], &COST_COLUMNS].concat(), rows))
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
    fn cells(self) -> Vec<String> {
        let cpu_time = self.cpu_time_p95.map_or_else(|| "-".to_owned(), costs::millis);
        vec![costs::impact(self.impact).to_owned(), cpu_time, self.denylisted_hosts.to_string()]
    }
}

/// Costs by name of the saved query.
async fn query_costs(server: &RestClient) -> anyhow::Result<HashMap<String, ListedCost>> {
    let queries = server.get::<QueryList>("queries").await?.queries;
    let cost = |stats: QueryStats| ListedCost {
        impact: stats.impact,
        cpu_time_p95: stats.cpu_time_p95,
        denylisted_hosts: stats.denylisted_hosts,
    };
    Ok(queries.into_iter().filter_map(|query| Some((query.name, cost(query.stats?)))).collect())
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
