//! Settings kept as JSON, each under a name.

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};
use serde_json::Value;

use super::entity::settings;
use super::{Error, Result};
use crate::clock::Moment;

/// What operators configure with `kind: config`, agent options included.
pub const APP_CONFIG: &str = "app_config";

/// Agent options that were removed and that hosts may still have.
pub const RETIRED_OPTIONS: &str = "retired_options";

/// How far the import from Fleet is.
pub const FLEET_IMPORT: &str = "fleet_import";

/// What was applied last of the folder that documents come from, and why no more of it was.
pub const DOCUMENTS_FOLDER: &str = "documents_folder";

/// The key under which all servers hash log lines.
pub const LOG_HASH_KEY: &str = "log_hash_key";

pub async fn get(db: &impl ConnectionTrait, name: &'static str) -> Result<Option<Value>> {
    let [value] = get_several(db, [name]).await?;
    Ok(value)
}

/// Reads several settings in one statement.
pub async fn get_several<const N: usize>(
    db: &impl ConnectionTrait,
    names: [&'static str; N],
) -> Result<[Option<Value>; N]> {
    let rows = settings::Entity::find().filter(settings::Column::Name.is_in(names)).all(db).await?;
    let mut values = [const { None }; N];
    for (name, value) in names.iter().zip(&mut values) {
        if let Some(row) = rows.iter().find(|row| row.name == *name) {
            *value = Some(serde_json::from_str(&row.value).map_err(|error| Error::Corrupt {
                table: "settings",
                key: row.name.clone(),
                reason: error.to_string(),
            })?);
        }
    }
    Ok(values)
}

pub async fn set(db: &impl ConnectionTrait, name: &str, value: &Value, now: Moment) -> Result<()> {
    let row = settings::ActiveModel { name: Set(name.to_owned()), value: Set(value.to_string()), updated_at: Set(now) };
    if settings::Entity::find_by_id(name).one(db).await?.is_some() {
        row.update(db).await?;
    } else {
        settings::Entity::insert(row).exec_without_returning(db).await?;
    }
    Ok(())
}
