//! Labels, packs and queries.

use super::columns::source_row;
use super::{FleetSource, Result};
use crate::clock::Moment;

source_row! {
    /// A label of Fleet.
    FleetLabel from "labels" {
        id: i64 = need "id";
        name: String = need "name";
        description: String = may "description";
        query: String = need "query";
        platform: String = may "platform";
        /// 0: made by an operator, 1: by Fleet.
        label_type: i64 = may "label_type";
        /// 0: by its query, 1: by hand, 2: by what is known of hosts.
        membership_type: i64 = may "label_membership_type";
        updated_at: Moment = may "updated_at" "created_at";
    }
}

source_row! {
    /// A pack of Fleet.
    FleetPack from "packs" {
        id: i64 = need "id";
        name: String = need "name";
        description: String = may "description";
        platform: String = may "platform";
        disabled: bool = may "disabled";
        /// `global` for the global schedule, `team-N` for that of a team.
        pack_type: String = may "pack_type";
    }
}

source_row! {
    /// A target of a pack.
    FleetTarget from "pack_targets" {
        pack_id: i64 = need "pack_id";
        target_type: i64 = need "type";
        target_id: i64 = need "target_id";
    }
}

/// What a target of a pack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetWord {
    Label,
    Host,
    Team,
}

impl FleetTarget {
    /// `None` for a kind that only newer versions know.
    pub fn word(&self) -> Option<TargetWord> {
        match self.target_type {
            0 => Some(TargetWord::Label),
            1 => Some(TargetWord::Host),
            2 => Some(TargetWord::Team),
            _ => None,
        }
    }
}

source_row! {
    /// A scheduled query of a pack.
    FleetScheduledQuery from "scheduled_queries" {
        pack_id: i64 = need "pack_id";
        query_id: Option<i64> = may "query_id";
        /// Of the saved query. Newer versions go by it.
        query_name: String = may "query_name";
        name: String = may "name";
        description: String = may "description";
        interval: i64 = need "interval";
        snapshot: Option<bool> = may "snapshot";
        removed: Option<bool> = may "removed";
        denylist: Option<bool> = may "denylist";
        shard: Option<i64> = may "shard";
        platform: String = may "platform";
        version: String = may "version";
    }
}

source_row! {
    /// A saved query of Fleet.
    FleetQuery from "queries" {
        id: i64 = need "id";
        name: String = need "name";
        description: String = may "description";
        query: String = need "query";
        observer_can_run: bool = may "observer_can_run";
        team_id: Option<i64> = may "team_id";
        /// From here on as of 4.35, from which on queries have a schedule of their own.
        platform: String = may "platform";
        version: String = may "min_osquery_version";
        /// In seconds; 0 for none.
        interval: i64 = may "schedule_interval";
        is_logged: Option<bool> = may "automations_enabled";
        /// `snapshot`, `differential` or `differential_ignore_removals`.
        logging: String = may "logging_type";
        is_discarded: bool = may "discard_data";
    }
}

source_row! {
    /// A label whose hosts run a query of the schedule.
    QueryLabel from "query_labels" {
        query_id: i64 = need "query_id";
        label_id: Option<i64> = may "label_id";
        is_excluded: bool = may "exclude";
        is_required: bool = may "require_all";
    }
}

/// All that decides what hosts run.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetSchedule {
    pub labels: Vec<FleetLabel>,
    pub packs: Vec<FleetPack>,
    pub targets: Vec<FleetTarget>,
    pub scheduled: Vec<FleetScheduledQuery>,
    /// Without those that were never saved.
    pub queries: Vec<FleetQuery>,
    pub query_labels: Vec<QueryLabel>,
}

impl FleetSource {
    /// # Errors
    /// When the database does not answer.
    pub async fn schedule(&self) -> Result<FleetSchedule> {
        let saved = if self.has("queries", "saved") { "saved" } else { "TRUE" };
        let queries: Vec<FleetQuery> = self.rows(saved, [], "`name`, `id`").await?;
        let mut scheduled: Vec<FleetScheduledQuery> = self.rows("`pack_id` IS NOT NULL", [], "`pack_id`, `id`").await?;
        for row in scheduled.iter_mut().filter(|row| row.query_name.is_empty()) {
            let query = queries.iter().find(|query| Some(query.id) == row.query_id);
            row.query_name = query.map(|query| query.name.clone()).unwrap_or_default();
        }
        Ok(FleetSchedule {
            labels: self.rows("TRUE", [], "`id`").await?,
            packs: self.rows("TRUE", [], "`name`").await?,
            targets: self.rows("`pack_id` IS NOT NULL", [], "`pack_id`, `target_id`").await?,
            scheduled,
            queries,
            query_labels: self.rows("TRUE", [], "`query_id`").await?,
        })
    }
}
