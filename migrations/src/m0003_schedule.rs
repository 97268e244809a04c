//! Saved queries, packs, their targets and their scheduled queries.

use sea_orm_migration::prelude::*;

use crate::columns::{
    drop_tables, flag, id, index, long_text, moment, name, number, optional_flag, optional_number, table,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "queries")
                    .col(id())
                    .col(name("name"))
                    .col(long_text(manager, "description"))
                    .col(long_text(manager, "query"))
                    .col(flag("observer_can_run"))
                    .col(optional_number("author_id"))
                    .col(moment("created_at"))
                    .col(moment("updated_at"))
                    .take(),
            )
            .await?;
        index(manager, "queries", &["name"], true).await?;
        manager
            .create_table(
                table(manager, "packs")
                    .col(id())
                    .col(name("name"))
                    .col(long_text(manager, "description"))
                    .col(name("platform"))
                    .col(name("version"))
                    .col(optional_number("shard"))
                    .col(long_text(manager, "discovery"))
                    .col(flag("disabled"))
                    .col(moment("created_at"))
                    .col(moment("updated_at"))
                    .take(),
            )
            .await?;
        index(manager, "packs", &["name"], true).await?;
        manager
            .create_table(
                table(manager, "pack_labels")
                    .col(number("pack_id"))
                    .col(number("label_id"))
                    .primary_key(Index::create().col("pack_id").col("label_id"))
                    .take(),
            )
            .await?;
        index(manager, "pack_labels", &["label_id"], false).await?;
        manager
            .create_table(
                table(manager, "scheduled_queries")
                    .col(id())
                    .col(number("pack_id"))
                    .col(number("query_id"))
                    .col(name("name"))
                    .col(long_text(manager, "description"))
                    .col(number("interval_secs"))
                    .col(optional_flag("snapshot"))
                    .col(optional_flag("removed"))
                    .col(optional_flag("denylist"))
                    .col(optional_number("shard"))
                    .col(name("platform"))
                    .col(name("version"))
                    .col(moment("created_at"))
                    .col(moment("updated_at"))
                    .take(),
            )
            .await?;
        index(manager, "scheduled_queries", &["pack_id", "name"], true).await?;
        index(manager, "scheduled_queries", &["query_id"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["scheduled_queries", "pack_labels", "packs", "queries"]).await
    }
}
