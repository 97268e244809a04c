//! The steps that build and change Muster's database, in order. Each can be run again after it failed half-way and can be undone.

#![expect(elided_lifetimes_in_paths, reason = "the migration trait fixes the signatures")]

mod columns;
mod m0001_accounts;
mod m0002_hosts;
mod m0003_schedule;
mod m0004_settings;
mod m0005_parked_queries;
mod m0006_live_queries;
mod m0007_live_discovery;
mod m0008_replicas;
mod m0009_live_bus_keys;
mod m0010_live_results;
mod m0011_host_look_ups;
mod m0013_label_host_names;
mod m0014_log_batches;
mod m0015_secret_names;
mod m0016_seen_pages;
mod m0017_live_pace;
mod m0018_lease_nodes;
mod m0019_statistics;
mod m0020_schema;
mod m0021_object_changes;
mod m0022_node_versions;
mod m0023_carves;
mod m0025_secret_limits;
mod m0026_guard;
mod m0027_guard_approvals;
mod m0028_plans;
mod m0030_rollouts;
mod m0031_live_canaries;
mod m0032_whole_plans;
mod m0033_shown_plans;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseConnection};

/// Where sea-orm writes down which steps were taken.
const TABLE: &str = "seaql_migrations";

/// All steps, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts::Migration),
            Box::new(m0002_hosts::Migration),
            Box::new(m0003_schedule::Migration),
            Box::new(m0004_settings::Migration),
            Box::new(m0005_parked_queries::Migration),
            Box::new(m0006_live_queries::Migration),
            Box::new(m0007_live_discovery::Migration),
            Box::new(m0008_replicas::Migration),
            Box::new(m0009_live_bus_keys::Migration),
            Box::new(m0010_live_results::Migration),
            Box::new(m0011_host_look_ups::Migration),
            Box::new(m0013_label_host_names::Migration),
            Box::new(m0014_log_batches::Migration),
            Box::new(m0015_secret_names::Migration),
            Box::new(m0016_seen_pages::Migration),
            Box::new(m0017_live_pace::Migration),
            Box::new(m0018_lease_nodes::Migration),
            Box::new(m0019_statistics::Migration),
            Box::new(m0020_schema::Migration),
            Box::new(m0021_object_changes::Migration),
            Box::new(m0022_node_versions::Migration),
            Box::new(m0023_carves::Migration),
            Box::new(m0025_secret_limits::Migration),
            Box::new(m0026_guard::Migration),
            Box::new(m0027_guard_approvals::Migration),
            Box::new(m0028_plans::Migration),
            Box::new(m0030_rollouts::Migration),
            Box::new(m0031_live_canaries::Migration),
            Box::new(m0032_whole_plans::Migration),
            Box::new(m0033_shown_plans::Migration),
        ]
    }
}

/// Names of the steps the database has had; none when it has never been prepared. Changes nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn applied(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let manager = SchemaManager::new(db);
    if !manager.has_table(TABLE).await? {
        return Ok(Vec::new());
    }
    let select = Query::select().column("version").from(TABLE).order_by("version", Order::Asc).take();
    db.query_all(&select).await?.into_iter().map(|row| row.try_get("", "version")).collect()
}

/// Makes the table that says which steps were taken, so that its text compares byte by byte as all other does.
///
/// # Errors
/// When the database refuses it.
pub async fn prepare(db: &DatabaseConnection) -> Result<(), DbErr> {
    let manager = SchemaManager::new(db);
    let mut statement = columns::table(&manager, TABLE);
    statement
        .col(ColumnDef::new("version").string_len(columns::NAME_LENGTH).not_null().primary_key())
        .col(ColumnDef::new("applied_at").big_integer().not_null());
    manager.create_table(statement.take()).await
}
