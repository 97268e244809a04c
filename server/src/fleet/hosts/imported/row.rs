//! The row of a host as Fleet's row of it tells.

use crate::clock::Moment;
use crate::fleet::hosts::details::{self, newest_platform};
use crate::fleet::hosts::enroll::empty_row;
use crate::store::entity::hosts::{Column, Model};
use crate::store::import_fleet::FleetHost;

/// What Fleet takes for "never" is before this: 2001.
const BEGINNING: Moment = Moment(978_307_200_000_000);

const NANOS: i64 = 1_000_000_000;

/// The columns that [`put_details`] and [`put_times`] write.
pub(super) fn columns() -> Vec<Column> {
    let others = [
        Column::PrimaryIp,
        Column::PrimaryMac,
        Column::UptimeSecs,
        Column::DistributedInterval,
        Column::ConfigRefresh,
        Column::LoggerTlsPeriod,
        Column::GigsDiskSpaceAvailable,
        Column::PercentDiskSpaceAvailable,
        Column::DetailUpdatedAt,
        Column::LabelUpdatedAt,
        Column::SeenAt,
        Column::EnrolledAt,
        Column::UpdatedAt,
    ];
    details::COLUMNS.iter().copied().chain(others).collect()
}

/// A time of Fleet.
pub(super) fn moment(fleet: Moment) -> Moment {
    if fleet < BEGINNING { Moment::NEVER } else { fleet }
}

/// When the agent got its key of Fleet.
pub(super) fn enrolled_at(host: &FleetHost, now: Moment) -> Moment {
    let enrolled = moment(host.last_enrolled_at);
    let enrolled = if enrolled == Moment::NEVER { moment(host.created_at) } else { enrolled };
    enrolled.min(now)
}

/// A host that is not there yet.
pub(super) fn new(identifier: &str, host: &FleetHost, now: Moment) -> Model {
    let mut row = Model {
        identifier: identifier.to_owned(),
        claimed_identifier: identifier.to_owned(),
        created_at: moment(host.created_at).min(now),
        // Its counters begin for Muster now, so the first sample can wait for its slot.
        statistics_updated_at: now,
        refetch_requested: host.refetch_requested,
        ..empty_row()
    };
    put_details(&mut row, host);
    put_times(&mut row, host, now);
    row
}

/// Writes what Fleet knows of a host.
pub(super) fn put_details(row: &mut Model, host: &FleetHost) {
    macro_rules! texts {
        ($($field:ident),* $(,)?) => {$( row.$field = details::fit(&host.$field); )*};
    }
    texts! {
        hostname, computer_name, uuid, platform_like, os_version, build, code_name, osquery_version, cpu_type, cpu_subtype,
        cpu_brand, hardware_vendor, hardware_model, hardware_version, hardware_serial, primary_ip, primary_mac,
    }
    let said = Some(host.platform.as_str()).filter(|platform| !platform.is_empty());
    row.platform = details::fit(newest_platform(said, &host.os_version).unwrap_or_default());
    let name = if host.computer_name.is_empty() { &host.hostname } else { &host.computer_name };
    row.shard_hostname = details::fit(name);
    row.memory = host.memory;
    row.cpu_physical_cores = host.cpu_physical_cores;
    row.cpu_logical_cores = host.cpu_logical_cores;
    row.uptime_secs = host.uptime / NANOS;
    row.distributed_interval = host.distributed_interval;
    row.config_refresh = host.config_refresh;
    row.logger_tls_period = host.logger_tls_period;
    row.gigs_disk_space_available = host.gigs_disk_space_available;
    row.percent_disk_space_available = host.percent_disk_space_available;
    row.detail_updated_at = moment(host.detail_updated_at);
}

/// Moves times on that are later at Fleet.
pub(super) fn put_times(row: &mut Model, host: &FleetHost, now: Moment) {
    row.seen_at = row.seen_at.max(moment(host.seen_at)).min(now);
    row.enrolled_at = row.enrolled_at.max(enrolled_at(host, now));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fleet_calls_never_is_never() {
        // 1970-01-02 and 2000-01-01.
        for never in [0, 86_400, 946_684_800] {
            assert_eq!(moment(Moment::NEVER.plus_seconds(never)), Moment::NEVER);
        }
        let real = Moment::NEVER.plus_seconds(1_600_000_000);
        assert_eq!(moment(real), real);
    }
}
