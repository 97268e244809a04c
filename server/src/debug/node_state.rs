//! This node among the others, and what it holds.

use actix_web::HttpResponse;
use actix_web::web::Data;
use muster_api::rest::debug::{DebugNode, DebugNodes, Figure, MigrationState, NodeFigures};

use super::DebugApi;
use super::caller::DebugCaller;
use super::refusal::DebugAnswer;
use crate::fleet::{Error, within};

/// Longest time that the database may take.
const DATABASE: std::time::Duration = std::time::Duration::from_secs(5);

/// `GET migrations`.
pub(super) async fn migrations(caller: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let found = within(DATABASE, api.fleet.migrations(&caller.principal)).await?;
    let status_code = match (found.is_empty, found.missing.is_empty(), found.unknown.is_empty()) {
        (true, _, _) => MigrationState::NONE,
        (_, false, _) => MigrationState::SOME,
        (_, _, false) => MigrationState::UNKNOWN,
        _ => MigrationState::ALL,
    };
    Ok(HttpResponse::Ok().json(MigrationState {
        status_code,
        missing_table: numbers(&found.missing),
        missing_data: Vec::new(),
        unknown_table: numbers(&found.unknown),
        missing: found.missing,
        unknown: found.unknown,
    }))
}

/// The number in a name such as `m0012_nodes`.
fn numbers(names: &[String]) -> Vec<i64> {
    let number = |name: &String| name.trim_start_matches('m').split('_').next()?.parse().ok();
    names.iter().filter_map(number).collect()
}

/// `GET nodes`.
pub(super) async fn nodes(caller: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let known = within(DATABASE, api.fleet.server_parts(&caller.principal)).await?.nodes;
    let own = api.fleet.node.id();
    let nodes = known.into_iter().map(|node| DebugNode {
        is_this: node.id == own,
        id: node.id,
        version: node.version,
        alive_at: node.alive_at.map(|moment| moment.to_utc().to_rfc3339()),
        is_leader: node.is_leader,
    });
    Ok(HttpResponse::Ok().json(DebugNodes { nodes: nodes.collect() }))
}

/// `GET metrics`.
pub(super) async fn metrics(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let metrics = api.metrics.clone();
    let text = api.in_pool(move || metrics.render()).await?.map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text))
}

/// `GET state`.
pub(super) async fn figures(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let read = api.clone();
    Ok(HttpResponse::Ok().json(api.in_pool(move || all_figures(&read)).await?))
}

#[expect(clippy::cast_precision_loss, reason = "figures are far below 2^53")]
fn all_figures(api: &DebugApi) -> NodeFigures {
    let in_memory = api.fleet.figures().into_iter().map(|figure| Figure {
        name: figure.name.to_owned(),
        value: figure.value as f64,
        unit: figure.unit.to_owned(),
        bound: figure.bound.map(|bound| bound as f64),
    });
    // These are in no place but the metrics.
    let of_metrics = GAUGES.iter().flat_map(|(metric, name, unit)| {
        api.metrics.values(metric).into_iter().map(move |(label, value)| Figure {
            name: if label.is_empty() { (*name).to_owned() } else { format!("{name}: {label}") },
            value,
            unit: (*unit).to_owned(),
            bound: None,
        })
    });
    NodeFigures { figures: in_memory.chain(of_metrics).collect() }
}

/// Metrics, with their names as figures and their units.
const GAUGES: &[(&str, &str, &str)] = &[
    ("muster_pool_busy", "busy threads", "threads"),
    ("muster_pool_waiting", "work waiting for threads", "requests"),
    ("muster_log_batch_leases", "leases on log batches", "leases"),
    ("muster_live_results_bytes", "results of live queries", "bytes"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_have_numbers() {
        assert_eq!(numbers(&["m0001_accounts".to_owned(), "m0120_x_1".to_owned(), "odd".to_owned()]), [1, 120]);
    }
}
