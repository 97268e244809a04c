//! Canaries of a live query: the hosts that are given it first, and how much CPU time it may take.

use sea_orm_migration::prelude::*;

use crate::columns::{flag, number, optional_number};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // With defaults or without values, because nodes of the version before insert rows without them.
        let canaries = ColumnDef::new("canaries").blob().null().take();
        let until = optional_number("canaries_until");
        let budgets = [number("host_cpu_ms"), number("fleet_cpu_ms")];
        for column in [canaries, until, flag("is_paused_early")].into_iter().chain(budgets) {
            if !manager.has_column("live_queries", column.get_column_name()).await? {
                manager.alter_table(Table::alter().table("live_queries").add_column(column).take()).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["canaries", "canaries_until", "is_paused_early", "host_cpu_ms", "fleet_cpu_ms"] {
            if manager.has_column("live_queries", column).await? {
                manager.alter_table(Table::alter().table("live_queries").drop_column(column).take()).await?;
            }
        }
        Ok(())
    }
}
