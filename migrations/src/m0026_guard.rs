//! What the table guard has said of a live query, and how much it lets hosts answer.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

use crate::columns::number;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // With defaults or without values, because nodes of the version before insert rows without them.
        let mut warnings = ColumnDef::new("guard_warnings");
        match manager.get_database_backend() {
            DatabaseBackend::MySql => warnings.custom("longtext"),
            _ => warnings.text(),
        };
        for column in [number("row_limit"), number("byte_limit"), warnings.null().take()] {
            if !manager.has_column("live_queries", column.get_column_name()).await? {
                manager.alter_table(Table::alter().table("live_queries").add_column(column).take()).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["row_limit", "byte_limit", "guard_warnings"] {
            if manager.has_column("live_queries", column).await? {
                manager.alter_table(Table::alter().table("live_queries").drop_column(column).take()).await?;
            }
        }
        Ok(())
    }
}
