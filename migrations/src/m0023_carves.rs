//! Carves: what is known of them, and which queries asked for them. Their contents are not in the database.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, id, index, long_text, moment, name, number, optional_number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "carves")
                    .col(id())
                    .col(number("host_id"))
                    .col(name("name"))
                    .col(name("carve_id"))
                    .col(name("request_id"))
                    .col(ColumnDef::new("session_hash").var_binary(32).not_null())
                    .col(name("content_key"))
                    .col(number("block_count"))
                    .col(number("block_size"))
                    .col(number("carve_size"))
                    .col(long_text(manager, "received"))
                    .col(number("received_bytes"))
                    .col(number("held_bytes"))
                    .col(name("status"))
                    .col(long_text(manager, "error"))
                    .col(moment("created_at"))
                    .col(moment("last_block_at"))
                    .col(optional_number("completed_at"))
                    .take(),
            )
            .await?;
        index(manager, "carves", &["session_hash"], true).await?;
        index(manager, "carves", &["host_id", "carve_id"], true).await?;
        index(manager, "carves", &["carve_id"], false).await?;
        index(manager, "carves", &["content_key"], true).await?;
        index(manager, "carves", &["status", "last_block_at"], false).await?;
        index(manager, "carves", &["created_at"], false).await?;
        manager
            .create_table(
                table(manager, "carve_requests")
                    .col(id())
                    .col(number("host_id"))
                    .col(name("carve_id"))
                    .col(optional_number("live_query_id"))
                    .col(name("query_name"))
                    .col(moment("created_at"))
                    .take(),
            )
            .await?;
        index(manager, "carve_requests", &["host_id", "carve_id"], true).await?;
        index(manager, "carve_requests", &["carve_id"], false).await?;
        index(manager, "carve_requests", &["live_query_id"], false).await?;
        index(manager, "carve_requests", &["created_at"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["carve_requests", "carves"]).await
    }
}
