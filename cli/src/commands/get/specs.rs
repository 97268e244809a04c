use std::collections::HashSet;

use muster_api::spec::{LabelSpec, PackSpec, QuerySpec};

use super::print::{self, PrintedDocument};
use super::{Args, PackArgs, fetch};
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
    let rows = found.into_iter().map(|query| vec![query.name, query.description, query.query]);
    output::data(&table::grid(&["name", "description", "query"], rows))
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
    let rows =
        found.into_iter().map(|pack| vec![pack.name, pack.platform, pack.description, pack.disabled.to_string()]);
    output::data(&table::grid(&["name", "platform", "description", "disabled"], rows))
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
