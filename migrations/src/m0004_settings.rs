//! Settings kept as JSON under a name, and the generation that every change of what hosts run moves on.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, long_text, moment, number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                table(manager, "settings")
                    .col(ColumnDef::new("name").string_len(64).not_null().primary_key())
                    .col(long_text(manager, "value"))
                    .col(moment("updated_at"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                table(manager, "generations")
                    .col(ColumnDef::new("name").string_len(64).not_null().primary_key())
                    .col(number("value"))
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["generations", "settings"]).await
    }
}
