//! Hosts as operators see them.

use muster_api::rest::{HostDetail, HostLabel, HostPack, HostStatus, HostView, ParkedQuery};

use super::Hosts;
use super::presence::is_online;
use crate::clock::Moment;
use crate::fleet::checkin::Name;
use crate::fleet::schedule::Plan;
use crate::fleet::{Error, Result, specs};
use crate::store;
use crate::store::entity::hosts::Model;
use crate::store::entity::labels;

/// Whether a host is online: it has called within its own interval and a minute.
pub fn status(host: &Model, seen: Moment, now: Moment) -> HostStatus {
    match is_online(host.distributed_interval, host.config_refresh, seen, now) {
        true => HostStatus::Online,
        false => HostStatus::Offline,
    }
}

impl Hosts {
    /// A connection for reading.
    pub(in crate::fleet) fn reader(&self) -> &store::Connection {
        self.store.reader()
    }

    pub(in crate::fleet) async fn row_by_id(&self, id: i64) -> Result<Model> {
        let row = store::hosts::by_id(self.store.reader(), id).await?;
        row.ok_or_else(|| Error::no_such("Host", id))
    }

    pub(in crate::fleet) async fn row_by_name(&self, word: &str) -> Result<Model> {
        let rows = store::hosts::named(self.store.reader(), word).await?;
        if rows.is_empty() {
            return Err(Error::NotFound { kind: "Host", key: word.to_owned() });
        }
        let one = store::hosts::meant(&rows, word, |row| &row.identifier).cloned();
        one.ok_or_else(|| {
            let (n, identifiers) = (rows.len(), identifiers(&rows));
            Error::invalid(
                "identifier",
                format!("{n} hosts are called {word}; use one of their identifiers: {identifiers}"),
            )
        })
    }

    /// The labels a host is in, sorted.
    pub(in crate::fleet) async fn label_ids(&self, host_id: i64) -> Result<Vec<i64>> {
        Ok(store::labels::of_host(self.store.reader(), host_id).await?)
    }

    /// A host that is in these labels, without what its queries cost.
    pub(in crate::fleet) async fn detail(&self, row: &Model, label_ids: &[i64]) -> Result<HostDetail> {
        let plan = self.schedule.plan();
        let labels = store::labels::by_ids(self.store.reader(), label_ids).await?;
        let labels = labels.into_iter().filter_map(show_label).collect();
        let assignment = plan.assignment_of(row, label_ids);
        let packs = plan.packs_for(&assignment).map(|pack| HostPack { id: pack.id, name: pack.name.clone() }).collect();
        let parked = store::parked_queries::of_host(self.store.reader(), row.id).await?;
        let parked_queries = parked
            .into_iter()
            .map(|parked| ParkedQuery {
                name: question_name(&plan, &parked.name),
                reason: parked.reason,
                parked_at: parked.parked_at.to_utc(),
            })
            .collect();
        let clone_warning = row.cloned_at.map(|_| {
            format!(
                "more than one machine calls itself {}: they are told apart by their agents' instance ids; give cloned machines their own UUID, or set osquery.host_identifier to instance",
                row.claimed_identifier
            )
        });
        let (host, pack_stats) = (self.show(row), Vec::new());
        Ok(HostDetail { host, labels, packs, pack_stats, parked_queries, clone_warning })
    }

    pub(in crate::fleet) fn show(&self, row: &Model) -> HostView {
        self.show_as_seen(row, self.seen_by_any(row.id, row.seen_at), self.clock.now())
    }

    /// The host as it was at the moment `now`, last seen at `seen`.
    pub(super) fn show_as_seen(&self, row: &Model, seen: Moment, now: Moment) -> HostView {
        let plan = self.schedule.plan();
        let enroll_secret_name =
            row.enroll_secret_id.and_then(|id| plan.secret_name(id)).unwrap_or_default().to_owned();
        HostView {
            created_at: row.created_at.to_utc(),
            updated_at: row.updated_at.to_utc(),
            id: row.id,
            detail_updated_at: row.detail_updated_at.to_utc(),
            label_updated_at: row.label_updated_at.to_utc(),
            policy_updated_at: Moment::NEVER.to_utc(),
            last_enrolled_at: row.enrolled_at.to_utc(),
            seen_time: seen.to_utc(),
            refetch_requested: row.refetch_requested,
            hostname: row.hostname.clone(),
            uuid: row.uuid.clone(),
            platform: row.platform.clone(),
            osquery_version: row.osquery_version.clone(),
            os_version: row.os_version.clone(),
            build: row.build.clone(),
            platform_like: row.platform_like.clone(),
            code_name: row.code_name.clone(),
            uptime: row.uptime_secs.saturating_mul(1_000_000_000),
            memory: row.memory,
            cpu_type: row.cpu_type.clone(),
            cpu_subtype: row.cpu_subtype.clone(),
            cpu_brand: row.cpu_brand.clone(),
            cpu_physical_cores: row.cpu_physical_cores,
            cpu_logical_cores: row.cpu_logical_cores,
            hardware_vendor: row.hardware_vendor.clone(),
            hardware_model: row.hardware_model.clone(),
            hardware_version: row.hardware_version.clone(),
            hardware_serial: row.hardware_serial.clone(),
            computer_name: row.computer_name.clone(),
            primary_ip: row.primary_ip.clone(),
            primary_mac: row.primary_mac.clone(),
            distributed_interval: row.distributed_interval,
            config_tls_refresh: row.config_refresh,
            logger_tls_period: row.logger_tls_period,
            enroll_secret_name,
            team_id: None,
            team_name: None,
            gigs_disk_space_available: row.gigs_disk_space_available,
            percent_disk_space_available: row.percent_disk_space_available,
            status: status(row, seen, now),
            display_text: row.hostname.clone(),
            display_name: display_name(row),
        }
    }
}

/// What people call the host.
pub(super) fn display_name(row: &Model) -> String {
    if row.computer_name.is_empty() { row.hostname.clone() } else { row.computer_name.clone() }
}

/// `None` for a label of another version, as in lists.
fn show_label(row: labels::Model) -> Option<HostLabel> {
    let (created_at, updated_at, id) = (row.created_at.to_utc(), row.updated_at.to_utc(), row.id);
    let spec = specs::label_spec(row)?;
    Some(HostLabel {
        created_at,
        updated_at,
        id,
        display_text: spec.name.clone(),
        name: spec.name,
        description: spec.description,
        query: spec.query,
        platform: spec.platform,
        label_type: spec.label_type,
        label_membership_type: spec.label_membership_type,
    })
}

/// What operators call a question agents know by its id.
fn question_name(plan: &Plan, id: &str) -> String {
    match Name::parse(id) {
        Some(Name::Label(label_id)) => format!("label {}", plan.label_name(label_id).unwrap_or("that is gone")),
        Some(Name::Detail(name)) => format!("detail {name}"),
        None => id.to_owned(),
    }
}

fn identifiers(rows: &[Model]) -> String {
    const SHOWN: usize = 5;
    let mut text = rows.iter().take(SHOWN).map(|row| row.identifier.as_str()).collect::<Vec<_>>().join(", ");
    if rows.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
