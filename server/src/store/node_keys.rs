//! Hashes of the keys agents authenticate with. The keys themselves are nowhere.

use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, Set};

use super::entity::node_keys;
use super::{MAX_PARAMETERS, Result};
use crate::clock::Moment;

/// SHA-256 of a node key.
pub type KeyHash = [u8; 32];

pub async fn by_hash(db: &impl ConnectionTrait, hash: &KeyHash) -> Result<Option<node_keys::Model>> {
    Ok(node_keys::Entity::find_by_id(hash.to_vec()).one(db).await?)
}

/// All keys of a host, oldest first.
pub async fn of_host(db: &impl ConnectionTrait, host_id: i64) -> Result<Vec<node_keys::Model>> {
    Ok(node_keys::Entity::find()
        .filter(node_keys::Column::HostId.eq(host_id))
        .order_by_asc(node_keys::Column::CreatedAt)
        .all(db)
        .await?)
}

pub async fn insert(
    db: &impl ConnectionTrait,
    hash: &KeyHash,
    host_id: i64,
    instance_id: &str,
    now: Moment,
) -> Result<()> {
    let key = node_keys::ActiveModel {
        key_hash: Set(hash.to_vec()),
        host_id: Set(host_id),
        instance_id: Set(instance_id.to_owned()),
        created_at: Set(now),
        used_at: Set(None),
    };
    node_keys::Entity::insert(key).exec_without_returning(db).await?;
    Ok(())
}

pub async fn delete(db: &impl ConnectionTrait, hashes: Vec<Vec<u8>>) -> Result<()> {
    for batch in hashes.chunks(MAX_PARAMETERS / 10) {
        node_keys::Entity::delete_many().filter(node_keys::Column::KeyHash.is_in(batch.to_vec())).exec(db).await?;
    }
    Ok(())
}

/// Writes down when keys were last used.
pub async fn mark_used(db: &impl ConnectionTrait, mut used: Vec<(KeyHash, Moment)>) -> Result<()> {
    used.sort_unstable();
    for batch in used.chunks(MAX_PARAMETERS / 3 / 10) {
        let mut at = CaseStatement::new();
        for (hash, moment) in batch {
            at = at.case(Expr::col(node_keys::Column::KeyHash).eq(hash.to_vec()), *moment);
        }
        node_keys::Entity::update_many()
            .col_expr(node_keys::Column::UsedAt, at.finally(Expr::col(node_keys::Column::UsedAt)).into())
            .filter(node_keys::Column::KeyHash.is_in(batch.iter().map(|(hash, _)| hash.to_vec())))
            .exec(db)
            .await?;
    }
    Ok(())
}
