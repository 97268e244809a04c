//! Plans as they were shown to whoever made them, and the rules that ask for an approval. Nodes of older versions leave the columns
//! empty.

use sea_orm_migration::prelude::*;

use crate::columns::{add_column, drop_column, optional_long_text, optional_name};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "plans", optional_long_text(manager, "shown")).await?;
        // Apart, so that a list reads little.
        add_column(manager, "plans", optional_name("summary")).await?;
        add_column(manager, "guard_approvals", optional_long_text(manager, "rules")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "guard_approvals", "rules").await?;
        drop_column(manager, "plans", "summary").await?;
        drop_column(manager, "plans", "shown").await
    }
}
