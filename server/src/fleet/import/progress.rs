//! How far an import is, kept in the database that hosts are brought to.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::{self, settings};

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ImportProgress {
    /// The database of Fleet.
    pub source: String,
    /// The id of the last host that was brought by a run that has not ended; 0 if none was.
    #[serde(default)]
    pub after: i64,
}

impl ImportProgress {
    /// Where an import from `source` goes on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of(db: &impl sea_orm::ConnectionTrait, source: &str) -> Result<Self> {
        let stored = settings::get(db, settings::FLEET_IMPORT).await?.unwrap_or_default();
        let progress: Self = serde_json::from_value(stored).unwrap_or_default();
        Ok(if progress.source == source { progress } else { Self { source: source.to_owned(), after: 0 } })
    }

    /// Notes how far the import is, in the transaction that brings the hosts.
    pub async fn write(&self, tx: &store::Tx, now: Moment) -> store::Result<()> {
        let value = json!({ "source": self.source, "after": self.after });
        settings::set(tx, settings::FLEET_IMPORT, &value, now).await
    }
}
