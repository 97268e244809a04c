//! Discovery queries of live queries, and until when a campaign goes on without news of a watcher.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

use crate::columns::optional_number;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut discovery = ColumnDef::new("discovery");
        match manager.get_database_backend() {
            DatabaseBackend::MySql => discovery.custom("longtext"),
            _ => discovery.text(),
        };
        // One at a time: SQLite adds no two columns in one statement.
        for column in [discovery.null().take(), optional_number("watched_until")] {
            if !manager.has_column("live_queries", column.get_column_name()).await? {
                manager.alter_table(Table::alter().table("live_queries").add_column(column).take()).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["discovery", "watched_until"] {
            if manager.has_column("live_queries", column).await? {
                manager.alter_table(Table::alter().table("live_queries").drop_column(column).take()).await?;
            }
        }
        Ok(())
    }
}
