use anyhow::bail;
use muster_api::rest::{SpecByName, SpecList};
use serde::de::DeserializeOwned;

use crate::rest::{RestClient, RestError, segment};

/// All objects of a kind, or the one with the given name.
pub async fn specs<T: DeserializeOwned>(
    server: &RestClient,
    plural: &str,
    kind: &str,
    name: Option<&str>,
) -> anyhow::Result<Vec<T>> {
    let Some(name) = name else {
        return Ok(server.get::<SpecList<T>>(&format!("spec/{plural}")).await?.specs);
    };
    match server.get::<SpecByName<T>>(&format!("spec/{plural}/{}", segment(name))).await {
        Ok(found) => Ok(vec![found.specs]),
        Err(RestError::NotFound(_)) => {
            bail!("there is no {kind} {name:?}; list {plural} with: fleetctl get {plural}")
        }
        Err(error) => Err(error.into()),
    }
}
