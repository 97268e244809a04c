//! Names of live queries outside the database: an id may come again after an older copy was restored.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column("live_queries", "bus_key").await? {
            return Ok(());
        }
        // Null, because nodes of the version before insert rows without it.
        let column = ColumnDef::new("bus_key").string_len(36).null().take();
        manager.alter_table(Table::alter().table("live_queries").add_column(column).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !manager.has_column("live_queries", "bus_key").await? {
            return Ok(());
        }
        manager.alter_table(Table::alter().table("live_queries").drop_column("bus_key").take()).await
    }
}
