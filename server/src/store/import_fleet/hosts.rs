//! Hosts, page by page in the order of their ids.

use std::collections::HashMap;

use sea_orm::Value;

use super::columns::source_row;
use super::{FleetSource, Result};
use crate::clock::Moment;

source_row! {
    /// A host of Fleet. Texts and numbers that Fleet does not know are empty and 0.
    FleetHost from "hosts" {
        id: i64 = need "id";
        /// What the agent says it is.
        identifier: String = need "osquery_host_id";
        /// As the agent shows it.
        node_key: String = need "node_key";
        hostname: String = need "hostname" "host_name";
        computer_name: String = may "computer_name";
        uuid: String = may "uuid";
        platform: String = may "platform";
        platform_like: String = may "platform_like";
        os_version: String = may "os_version";
        build: String = may "build";
        code_name: String = may "code_name";
        osquery_version: String = may "osquery_version";
        cpu_type: String = may "cpu_type";
        cpu_subtype: String = may "cpu_subtype";
        cpu_brand: String = may "cpu_brand";
        cpu_physical_cores: i64 = may "cpu_physical_cores";
        cpu_logical_cores: i64 = may "cpu_logical_cores";
        hardware_vendor: String = may "hardware_vendor";
        hardware_model: String = may "hardware_model";
        hardware_version: String = may "hardware_version";
        hardware_serial: String = may "hardware_serial";
        primary_ip: String = may "primary_ip";
        primary_mac: String = may "primary_mac";
        memory: i64 = may "memory" "physical_memory";
        /// In nanoseconds.
        uptime: i64 = may "uptime";
        distributed_interval: i64 = may "distributed_interval";
        config_refresh: i64 = may "config_tls_refresh";
        logger_tls_period: i64 = may "logger_tls_period";
        created_at: Moment = need "created_at";
        last_enrolled_at: Moment = may "last_enrolled_at" "last_enroll_time";
        detail_updated_at: Moment = may "detail_updated_at" "detail_update_time";
        label_updated_at: Moment = may "label_updated_at" "label_update_time";
        /// Newer versions have it in a table of its own.
        seen_at: Moment = may "seen_time";
        /// Newer versions have these two in a table of their own.
        gigs_disk_space_available: f64 = may "gigs_disk_space_available";
        percent_disk_space_available: f64 = may "percent_disk_space_available";
        refetch_requested: bool = may "refetch_requested";
        team_id: Option<i64> = may "team_id";
    }
}

source_row! {
    /// When a host was last seen.
    SeenHost from "host_seen_times" {
        host_id: i64 = need "host_id";
        seen_at: Moment = need "seen_time";
    }
}

source_row! {
    /// The disk space of a host.
    HostDisk from "host_disks" {
        host_id: i64 = need "host_id";
        gigs_available: f64 = need "gigs_disk_space_available";
        percent_available: f64 = need "percent_disk_space_available";
    }
}

source_row! {
    /// A host that is in a label.
    Membership from "label_membership" {
        host_id: i64 = need "host_id";
        label_id: i64 = need "label_id";
    }
}

/// Hosts that follow each other, with the labels they are in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FleetHostPage {
    pub hosts: Vec<FleetHost>,
    /// Ids of labels by the id of the host.
    pub labels: HashMap<i64, Vec<i64>>,
}

impl FleetSource {
    /// Up to `limit` hosts with ids above one, in the order of their ids.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hosts_after(&self, id: i64, limit: u64) -> Result<FleetHostPage> {
        let order = format!("`id` LIMIT {limit}");
        let mut hosts: Vec<FleetHost> = self.rows("`id` > ?", [id.into()], &order).await?;
        let (Some(first), Some(last)) = (hosts.first(), hosts.last()) else { return Ok(FleetHostPage::default()) };
        let range: [Value; 2] = [first.id.into(), last.id.into()];
        let within = "`host_id` BETWEEN ? AND ?";
        let seen: Vec<SeenHost> = self.rows(within, range.clone(), "`host_id`").await?;
        let seen: HashMap<i64, Moment> = seen.into_iter().map(|row| (row.host_id, row.seen_at)).collect();
        let disks: Vec<HostDisk> = self.rows(within, range.clone(), "`host_id`").await?;
        let disks: HashMap<i64, HostDisk> = disks.into_iter().map(|row| (row.host_id, row)).collect();
        let mut labels: HashMap<i64, Vec<i64>> = HashMap::new();
        for row in self.rows::<Membership>(within, range, "`host_id`, `label_id`").await? {
            labels.entry(row.host_id).or_default().push(row.label_id);
        }
        for host in &mut hosts {
            host.seen_at = host.seen_at.max(seen.get(&host.id).copied().unwrap_or_default());
            if let Some(disk) = disks.get(&host.id) {
                host.gigs_disk_space_available = disk.gigs_available;
                host.percent_disk_space_available = disk.percent_available;
            }
        }
        Ok(FleetHostPage { hosts, labels })
    }

    /// How many hosts there are, and how many of them are in teams.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_hosts(&self) -> Result<(i64, i64)> {
        let all = self.number("SELECT COUNT(*) FROM hosts").await?;
        let in_teams = match self.has("hosts", "team_id") {
            true => self.number("SELECT COUNT(*) FROM hosts WHERE team_id IS NOT NULL").await?,
            false => 0,
        };
        Ok((all, in_teams))
    }
}
