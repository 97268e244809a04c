//! What activities have changed in queries, packs, labels and the configuration, field by field.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, id, index, long_text, name, number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut changes = table(manager, "object_changes");
        changes
            .col(id())
            .col(number("activity_id"))
            .col(number("position"))
            .col(ColumnDef::new("kind").string_len(32).not_null())
            .col(number("object_id"))
            .col(name("name"))
            .col(ColumnDef::new("action").string_len(32).not_null())
            .col(number("bytes"))
            // Last, so that SQLite reads the others without it.
            .col(long_text(manager, "fields"));
        manager.create_table(changes.take()).await?;
        index(manager, "object_changes", &["activity_id", "position"], false).await?;
        index(manager, "object_changes", &["kind", "object_id"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["object_changes"]).await
    }
}
