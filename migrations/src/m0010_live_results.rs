//! How many bytes of answers to a live query are kept.

use sea_orm_migration::prelude::*;

use crate::columns::number;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column("live_queries", "results_bytes").await? {
            return Ok(());
        }
        // With a default, because nodes of the version before insert rows without it.
        manager.alter_table(Table::alter().table("live_queries").add_column(number("results_bytes")).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !manager.has_column("live_queries", "results_bytes").await? {
            return Ok(());
        }
        manager.alter_table(Table::alter().table("live_queries").drop_column("results_bytes").take()).await
    }
}
