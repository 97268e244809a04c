use serde::{Deserialize, Deserializer};

/// Distinguishes a member that is null, `Some(None)`, from one that is absent, `None`.
pub(super) fn or_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
