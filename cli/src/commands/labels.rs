use anyhow::bail;
use muster_api::rest::LabelSummaries;

use crate::rest::RestClient;

/// The id of the label of this name.
pub async fn id_of(server: &RestClient, name: &str) -> anyhow::Result<i64> {
    Ok(ids_of(server, std::slice::from_ref(&name)).await?[0])
}

/// The ids of the labels of these names, in their order; capitals (A to Z) count only if several labels differ by
/// them.
pub async fn ids_of(server: &RestClient, names: &[impl AsRef<str>]) -> anyhow::Result<Vec<i64>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let known: LabelSummaries = server.get("labels/summary").await?;
    let mut ids = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        let exact = known.labels.iter().find(|label| label.name == *name);
        let alike = || known.labels.iter().find(|label| label.name.eq_ignore_ascii_case(name));
        let Some(label) = exact.or_else(alike) else {
            bail!("no label is named {name:?}; list them with: fleetctl get labels")
        };
        ids.push(label.id);
    }
    Ok(ids)
}
