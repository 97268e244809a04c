//! Saved queries, beyond what [`named`](super::named) reads of them.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use super::Result;
use super::entity::queries;

/// Whether observers may run one of them at least.
pub async fn has_for_observers(db: &impl ConnectionTrait) -> Result<bool> {
    let select = queries::Entity::find().select_only().column(queries::Column::Id);
    let open: Vec<i64> = select.filter(queries::Column::ObserverCanRun.eq(true)).limit(1).into_tuple().all(db).await?;
    Ok(!open.is_empty())
}
