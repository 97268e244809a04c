//! Null is read as if the member were absent: files and other programs write an empty `description:` as null.

use serde::{Deserialize, Deserializer};

/// For a member with `serde(default)`, which alone covers absence but not null.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
