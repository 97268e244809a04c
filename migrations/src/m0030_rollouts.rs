//! Rollouts: changes that reach hosts in stages, what was decided about them, and what hosts have reported meanwhile. Servers of
//! older versions serve the old version to all hosts.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, id, index, long_text, moment, name, number, optional_number, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: [&str; 3] = ["rollout_counts", "rollout_decisions", "rollouts"];

/// What hosts have reported, added up.
const SUMS: [&str; 14] = [
    "heard",
    "samples",
    "seconds",
    "cpu_ms",
    "memory_bytes",
    "result_bytes",
    "runs",
    "run_cpu_ms",
    "run_reports",
    "run_memory_bytes",
    "run_errors",
    "denylisted",
    "restarts",
    "stalled",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut rollouts = table(manager, "rollouts");
        rollouts
            .col(id())
            .col(name("name"))
            .col(ColumnDef::new("state").string_len(16).not_null())
            .col(number("stage"))
            // Moved on by every step, so that each is taken once.
            .col(number("revision"))
            .col(moment("began_at"))
            .col(moment("stage_began_at"))
            .col(optional_number("ended_at"))
            .col(optional_number("remains_until"))
            .col(long_text(manager, "cohort"))
            .col(long_text(manager, "stages"))
            .col(long_text(manager, "document"))
            .col(long_text(manager, "change"));
        manager.create_table(rollouts.take()).await?;
        index(manager, "rollouts", &["state"], false).await?;
        let mut decisions = table(manager, "rollout_decisions");
        decisions
            .col(id())
            .col(number("rollout_id"))
            .col(moment("at"))
            .col(number("stage"))
            .col(ColumnDef::new("kind").string_len(16).not_null())
            .col(name("actor"))
            .col(long_text(manager, "reason"))
            .col(long_text(manager, "figures"))
            .col(optional_number("told_at"));
        manager.create_table(decisions.take()).await?;
        index(manager, "rollout_decisions", &["rollout_id"], false).await?;
        index(manager, "rollout_decisions", &["told_at", "at"], false).await?;
        let mut counts = table(manager, "rollout_counts");
        counts.col(number("rollout_id")).col(number("stage")).col(number("side")).col(name("node"));
        for sum in SUMS {
            counts.col(number(sum));
        }
        counts.primary_key(Index::create().col("rollout_id").col("stage").col("side").col("node"));
        manager.create_table(counts.take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &TABLES).await
    }
}
