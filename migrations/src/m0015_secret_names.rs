//! Names of enroll secrets. Servers of older versions go on inserting secrets without one.

use sea_orm_migration::prelude::*;

use crate::columns::{add_column, drop_column, name};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "enroll_secrets", name("name")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "enroll_secrets", "name").await
    }
}
