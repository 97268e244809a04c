//! Users, their password hashes and their sessions.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Set, Unchanged,
};

use super::entity::{sessions, user_passwords, users};
use super::{Result, Tx};
use crate::clock::Moment;

pub async fn count(db: &impl ConnectionTrait) -> Result<u64> {
    Ok(users::Entity::find().count(db).await?)
}

pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<users::Model>> {
    Ok(users::Entity::find().order_by_asc(users::Column::Id).all(db).await?)
}

/// `email` in lower case, as it is stored.
pub async fn by_email(db: &impl ConnectionTrait, email: &str) -> Result<Option<users::Model>> {
    Ok(users::Entity::find().filter(users::Column::Email.eq(email)).one(db).await?)
}

pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<users::Model>> {
    Ok(users::Entity::find_by_id(id).one(db).await?)
}

/// Reads a user to change it: until the transaction ends, nobody else changes the user, the password or what depends on
/// it.
pub async fn to_change(tx: &Tx, id: i64) -> Result<Option<users::Model>> {
    Ok(users::Entity::find_by_id(id).lock_exclusive().one(tx).await?)
}

/// As [`to_change`], by address in lower case.
pub async fn by_email_to_change(tx: &Tx, email: &str) -> Result<Option<users::Model>> {
    Ok(users::Entity::find().filter(users::Column::Email.eq(email)).lock_exclusive().one(tx).await?)
}

pub async fn count_with_role(db: &impl ConnectionTrait, role: users::RoleWord) -> Result<u64> {
    // Locked, so that of two that look at one time the second waits for what the first does.
    let select = users::Entity::find().filter(users::Column::GlobalRole.eq(role)).lock_exclusive();
    let ids: Vec<i64> = select.select_only().column(users::Column::Id).into_tuple().all(db).await?;
    Ok(ids.len() as u64)
}

/// Writes the columns that are set, and gives the row as it is then.
pub async fn update(db: &impl ConnectionTrait, user: users::ActiveModel) -> Result<users::Model> {
    Ok(user.update(db).await?)
}

/// Deletes a user with password and sessions.
pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<()> {
    end_sessions(db, id, None).await?;
    user_passwords::Entity::delete_by_id(id).exec(db).await?;
    users::Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}

pub async fn insert(db: &impl ConnectionTrait, user: users::ActiveModel, password_hash: String) -> Result<i64> {
    let id = users::Entity::insert(user).exec(db).await?.last_insert_id;
    let password = user_passwords::ActiveModel { user_id: Set(id), hash: Set(password_hash) };
    user_passwords::Entity::insert(password).exec_without_returning(db).await?;
    Ok(id)
}

pub async fn password_hash(db: &impl ConnectionTrait, user_id: i64) -> Result<Option<String>> {
    Ok(user_passwords::Entity::find_by_id(user_id).one(db).await?.map(|row| row.hash))
}

pub async fn add_session(db: &impl ConnectionTrait, token_hash: [u8; 32], user_id: i64, now: Moment) -> Result<()> {
    let session = sessions::ActiveModel {
        token_hash: Set(token_hash.to_vec()),
        user_id: Set(user_id),
        created_at: Set(now),
        accessed_at: Set(now),
    };
    sessions::Entity::insert(session).exec_without_returning(db).await?;
    Ok(())
}

pub async fn set_password(db: &impl ConnectionTrait, user_id: i64, hash: String) -> Result<()> {
    user_passwords::ActiveModel { user_id: Unchanged(user_id), hash: Set(hash) }.update(db).await?;
    Ok(())
}

/// The session and whose it is.
pub async fn session(
    db: &impl ConnectionTrait,
    token_hash: [u8; 32],
) -> Result<Option<(sessions::Model, users::Model)>> {
    let Some(session) = sessions::Entity::find_by_id(token_hash.to_vec()).one(db).await? else { return Ok(None) };
    let user = users::Entity::find_by_id(session.user_id).one(db).await?;
    Ok(user.map(|user| (session, user)))
}

pub async fn touch_session(db: &impl ConnectionTrait, token_hash: Vec<u8>, now: Moment) -> Result<()> {
    let touched = sessions::ActiveModel { accessed_at: Set(now), ..Default::default() };
    // One that has been ended meanwhile stays so.
    let of = sessions::Column::TokenHash.eq(token_hash);
    sessions::Entity::update_many().set(touched).filter(of).exec(db).await?;
    Ok(())
}

pub async fn end_session(db: &impl ConnectionTrait, token_hash: [u8; 32]) -> Result<()> {
    sessions::Entity::delete_by_id(token_hash.to_vec()).exec(db).await?;
    Ok(())
}

/// Ends all sessions of a user, but for one.
pub async fn end_sessions(db: &impl ConnectionTrait, user_id: i64, except: Option<[u8; 32]>) -> Result<()> {
    let mut ended = sessions::Entity::delete_many().filter(sessions::Column::UserId.eq(user_id));
    if let Some(token_hash) = except {
        ended = ended.filter(sessions::Column::TokenHash.ne(token_hash.to_vec()));
    }
    ended.exec(db).await?;
    Ok(())
}

/// Removes sessions not used since `before`.
pub async fn end_idle_sessions(db: &impl ConnectionTrait, before: Moment) -> Result<()> {
    sessions::Entity::delete_many().filter(sessions::Column::AccessedAt.lt(before)).exec(db).await?;
    Ok(())
}
