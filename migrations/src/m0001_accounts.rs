//! Users, their password hashes and sessions, and what they did.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, flag, hash_key, id, index, long_text, moment, name, number, optional_number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "users")
                    .col(id())
                    .col(name("email"))
                    .col(name("name"))
                    .col(name("global_role"))
                    .col(flag("api_only"))
                    .col(moment("created_at"))
                    .col(moment("updated_at"))
                    .take(),
            )
            .await?;
        index(manager, "users", &["email"], true).await?;
        manager
            .create_table(
                table(manager, "user_passwords")
                    .col(ColumnDef::new("user_id").big_integer().not_null().primary_key())
                    .col(name("hash"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                table(manager, "sessions")
                    .col(hash_key("token_hash"))
                    .col(number("user_id"))
                    .col(moment("created_at"))
                    .col(moment("accessed_at"))
                    .take(),
            )
            .await?;
        index(manager, "sessions", &["user_id"], false).await?;
        manager
            .create_table(
                table(manager, "activities")
                    .col(id())
                    .col(moment("created_at"))
                    .col(optional_number("actor_id"))
                    .col(name("actor_name"))
                    .col(name("actor_email"))
                    .col(name("kind"))
                    .col(long_text(manager, "details"))
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["activities", "sessions", "user_passwords", "users"]).await
    }
}
