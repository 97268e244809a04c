//! What this node has counted in hours that are not closed yet.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::beside;
use super::is_broken;
use super::stored_costs::{CostsByVersion, decode_several, encode_several};
use crate::store::entity::cost_parts;
use crate::store::statistics::costs;
use crate::store::{self, Tx};

/// Costs by hour and part.
type CostsByPart = BTreeMap<(i64, i64), CostsByVersion>;

/// Adds costs to what this node has counted in the same hours. Gives the number of parts that are too large to grow: those
/// are left as they are.
pub(super) async fn put_costs(tx: &Tx, node: &str, added: CostsByPart) -> store::Result<u64> {
    let hours: BTreeSet<i64> = added.keys().map(|(hour, _)| *hour).collect();
    if hours.is_empty() {
        return Ok(0);
    }
    let there = costs::of_node(tx, node, &hours.into_iter().collect::<Vec<_>>()).await?;
    let node = node.to_owned();
    let (parts, too_large) = beside(move || merged(&node, there, &added)).await?;
    costs::put_parts(tx, parts).await?;
    Ok(too_large)
}

fn merged(node: &str, there: Vec<cost_parts::Model>, added: &CostsByPart) -> (Vec<cost_parts::Model>, u64) {
    let mut there: BTreeMap<(i64, i64), cost_parts::Model> =
        there.into_iter().map(|row| ((row.hour, row.part), row)).collect();
    let mut parts = Vec::new();
    for ((hour, part), added) in added {
        let there = there.remove(&(*hour, *part));
        let id = there.as_ref().map_or(0, |row| row.id);
        let mut all = there.map(|row| read(&row)).unwrap_or_default();
        for (version_id, costs) in added {
            all.entry(*version_id).or_default().merge_same_hour(costs);
        }
        if let Some(costs) = encode_several(&all) {
            parts.push(cost_parts::Model { id, hour: *hour, part: *part, node: node.to_owned(), costs });
        }
    }
    let too_large = added.len() - parts.len();
    (parts, too_large as u64)
}

fn read(row: &cost_parts::Model) -> CostsByVersion {
    decode_several(&row.costs).unwrap_or_else(|| {
        is_broken("cost_parts", row.id);
        CostsByVersion::new()
    })
}
