//! The steps that build and change Muster's database, in order. Each can be run again after it failed half-way and can be undone.

#![expect(elided_lifetimes_in_paths, reason = "the migration trait fixes the signatures")]

mod columns;
mod m0001_accounts;
mod m0002_hosts;
mod m0003_schedule;
mod m0004_settings;
mod m0005_parked_queries;
mod m0006_live_queries;
mod m0008_replicas;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

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
            Box::new(m0008_replicas::Migration),
        ]
    }
}
