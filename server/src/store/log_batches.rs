//! What a node remembered of the last log batches when it stopped, in pieces that it encodes itself.

use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder, QuerySelect, Set};

use super::Result;
use super::entity::log_batches;

/// Adds a piece.
pub async fn add(db: &impl ConnectionTrait, batches: Vec<u8>) -> Result<()> {
    let piece = log_batches::ActiveModel { batches: Set(batches), ..Default::default() };
    log_batches::Entity::insert(piece).exec_without_returning(db).await?;
    Ok(())
}

/// The first pieces.
pub async fn first(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Vec<u8>>> {
    let pieces = log_batches::Entity::find().order_by_asc(log_batches::Column::Id).limit(limit).all(db).await?;
    Ok(pieces.into_iter().map(|piece| piece.batches).collect())
}

/// Removes all pieces.
pub async fn clear(db: &impl ConnectionTrait) -> Result<()> {
    log_batches::Entity::delete_many().exec(db).await?;
    Ok(())
}
