//! What queries cost their hosts: the last sample of each host, the cost of queries by hour and day, and what agents have
//! denylisted and when their workers were replaced.

use std::time::{SystemTime, UNIX_EPOCH};

use sea_orm_migration::prelude::*;

use crate::columns::{
    add_column, drop_column, drop_tables, flag, id, index, long_bytes, long_text, moment, name, number,
    optional_number, table,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: [&str; 7] = [
    "host_counts",
    "worker_restarts",
    "denylisted_queries",
    "query_costs",
    "cost_parts",
    "schedule_samples",
    "query_versions",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // As if all hosts had been asked just now, so that each waits for its slot instead of all being asked at once.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        let asked_at = ColumnDef::new("statistics_updated_at").big_integer().not_null().default(now).take();
        add_column(manager, "hosts", asked_at).await?;
        samples(manager).await?;
        costs(manager).await?;
        events(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &TABLES).await?;
        drop_column(manager, "hosts", "statistics_updated_at").await
    }
}

async fn samples(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut versions = table(manager, "query_versions");
    versions.col(id()).col(name("pack")).col(name("name")).col(number("sql_hash")).col(moment("created_at"));
    manager.create_table(versions.take()).await?;
    index(manager, "query_versions", &["pack", "name", "sql_hash"], true).await?;
    index(manager, "query_versions", &["sql_hash"], false).await?;
    let mut samples = table(manager, "schedule_samples");
    samples
        .col(ColumnDef::new("host_id").big_integer().not_null().primary_key())
        .col(moment("received_at"))
        .col(number("unix_time"))
        .col(number("start_time"))
        .col(number("pid"))
        .col(optional_number("stalled_since"))
        // Last, so that SQLite reads the others without it.
        .col(long_bytes(manager, "sample"));
    manager.create_table(samples.take()).await?;
    index(manager, "schedule_samples", &["stalled_since"], false).await?;
    index(manager, "schedule_samples", &["received_at"], false).await
}

async fn costs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut parts = table(manager, "cost_parts");
    parts.col(id()).col(number("hour")).col(number("part")).col(name("node")).col(long_bytes(manager, "costs"));
    manager.create_table(parts.take()).await?;
    index(manager, "cost_parts", &["node", "hour", "part"], true).await?;
    index(manager, "cost_parts", &["hour", "part"], false).await?;
    let mut costs = table(manager, "query_costs");
    costs
        .col(number("query_version_id"))
        .col(number("span"))
        .col(number("bucket"))
        .col(long_bytes(manager, "costs"))
        .primary_key(Index::create().col("query_version_id").col("span").col("bucket"));
    manager.create_table(costs.take()).await?;
    index(manager, "query_costs", &["span", "bucket"], false).await
}

async fn events(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut denylisted = table(manager, "denylisted_queries");
    denylisted
        .col(id())
        .col(number("host_id"))
        .col(name("pack"))
        .col(name("name"))
        .col(moment("since"))
        .col(optional_number("until"));
    manager.create_table(denylisted.take()).await?;
    index(manager, "denylisted_queries", &["host_id"], false).await?;
    index(manager, "denylisted_queries", &["until"], false).await?;
    let mut restarts = table(manager, "worker_restarts");
    restarts
        .col(id())
        .col(number("host_id"))
        .col(moment("seen_at"))
        .col(number("started_at"))
        .col(flag("is_upgrade"))
        .col(flag("is_reported"))
        .col(long_text(manager, "suspects"));
    manager.create_table(restarts.take()).await?;
    index(manager, "worker_restarts", &["host_id"], false).await?;
    index(manager, "worker_restarts", &["seen_at"], false).await?;
    let mut counts = table(manager, "host_counts");
    counts
        .col(number("span"))
        .col(number("bucket"))
        .col(long_text(manager, "counts"))
        .primary_key(Index::create().col("span").col("bucket"));
    manager.create_table(counts.take()).await
}
