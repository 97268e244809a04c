use serde::{Deserialize, Deserializer};

/// Tells a member that was sent as null, `Some(None)`, from one that was not sent, `None`.
pub(super) fn or_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
