//! How fast hosts are given the query of a live query, and whether it is paused.

use sea_orm_migration::prelude::*;

use crate::columns::{flag, number};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // With defaults, because nodes of the version before insert rows without them.
        for column in [number("rate"), flag("is_paused"), number("pace_changes")] {
            if !manager.has_column("live_queries", column.get_column_name()).await? {
                manager.alter_table(Table::alter().table("live_queries").add_column(column).take()).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["rate", "is_paused", "pace_changes"] {
            if manager.has_column("live_queries", column).await? {
                manager.alter_table(Table::alter().table("live_queries").drop_column(column).take()).await?;
            }
        }
        Ok(())
    }
}
