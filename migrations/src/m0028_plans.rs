//! Plans: documents that somebody wants to apply, with what that would have changed when it was tried.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, flag, id, index, long_text, moment, name, number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut plans = table(manager, "plans");
        plans
            .col(id())
            .col(moment("created_at"))
            .col(moment("expires_at"))
            .col(name("author_email"))
            .col(flag("is_forced"))
            .col(number("bytes"))
            .col(long_text(manager, "outcome"))
            .col(long_text(manager, "documents"));
        manager.create_table(plans.take()).await?;
        index(manager, "plans", &["expires_at"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["plans"]).await
    }
}
