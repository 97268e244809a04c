//! The version of each node. Nodes of older versions leave the column empty.

use sea_orm_migration::prelude::*;

use crate::columns::{add_column, drop_column, optional_name};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "replicas", optional_name("version")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "replicas", "version").await
    }
}
