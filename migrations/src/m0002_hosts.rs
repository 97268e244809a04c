//! Hosts, the keys they authenticate with, and the labels they are in.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_tables, flag, hash_key, id, index, long_text, moment, name, number, optional_number, table};

const TEXT: [&str; 20] = [
    "instance_id",
    "hostname",
    "computer_name",
    "uuid",
    "platform",
    "platform_like",
    "os_version",
    "build",
    "code_name",
    "osquery_version",
    "cpu_type",
    "cpu_subtype",
    "cpu_brand",
    "hardware_vendor",
    "hardware_model",
    "hardware_version",
    "hardware_serial",
    "primary_ip",
    "primary_mac",
    "shard_hostname",
];
const NUMBERS: [&str; 7] = [
    "memory",
    "cpu_physical_cores",
    "cpu_logical_cores",
    "uptime_secs",
    "distributed_interval",
    "config_refresh",
    "logger_tls_period",
];
const MOMENTS: [&str; 6] =
    ["created_at", "updated_at", "enrolled_at", "seen_at", "detail_updated_at", "label_updated_at"];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut hosts = table(manager, "hosts");
        hosts.col(id()).col(name("identifier")).col(name("claimed_identifier"));
        for column in TEXT {
            hosts.col(name(column));
        }
        for column in NUMBERS {
            hosts.col(number(column));
        }
        for column in MOMENTS {
            hosts.col(moment(column));
        }
        hosts
            .col(ColumnDef::new("gigs_disk_space_available").double().not_null().default(0.0))
            .col(ColumnDef::new("percent_disk_space_available").double().not_null().default(0.0))
            .col(flag("refetch_requested"))
            .col(optional_number("enroll_secret_id"))
            .col(optional_number("cloned_at"));
        manager.create_table(hosts.take()).await?;
        index(manager, "hosts", &["identifier"], true).await?;
        index(manager, "hosts", &["claimed_identifier"], false).await?;
        index(manager, "hosts", &["uuid"], false).await?;
        index(manager, "hosts", &["hostname"], false).await?;

        manager
            .create_table(
                table(manager, "node_keys")
                    .col(hash_key("key_hash"))
                    .col(number("host_id"))
                    .col(name("instance_id"))
                    .col(moment("created_at"))
                    .col(optional_number("used_at"))
                    .take(),
            )
            .await?;
        index(manager, "node_keys", &["host_id"], false).await?;

        manager
            .create_table(
                table(manager, "enroll_secrets").col(id()).col(name("secret")).col(moment("created_at")).take(),
            )
            .await?;
        index(manager, "enroll_secrets", &["secret"], true).await?;

        manager
            .create_table(
                table(manager, "labels")
                    .col(id())
                    .col(name("name"))
                    .col(long_text(manager, "description"))
                    .col(long_text(manager, "query"))
                    .col(name("platform"))
                    .col(name("label_type"))
                    .col(name("membership_type"))
                    .col(moment("created_at"))
                    .col(moment("updated_at"))
                    .take(),
            )
            .await?;
        index(manager, "labels", &["name"], true).await?;
        manager
            .create_table(
                table(manager, "label_members")
                    .col(number("label_id"))
                    .col(number("host_id"))
                    .primary_key(Index::create().col("label_id").col("host_id"))
                    .take(),
            )
            .await?;
        index(manager, "label_members", &["host_id"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["label_members", "labels", "enroll_secrets", "node_keys", "hosts"]).await
    }
}
