//! Enroll secrets and teams.

use super::columns::source_row;
use super::{FleetSource, Result};

source_row! {
    /// A secret that agents enroll with.
    FleetSecret from "enroll_secrets" {
        secret: String = need "secret";
        /// Of 3.x.
        name: String = may "name";
        /// Of 3.x.
        active: Option<bool> = may "active";
        team_id: Option<i64> = may "team_id";
    }
}

source_row! {
    /// A team.
    FleetTeam from "teams" {
        id: i64 = need "id";
        name: String = need "name";
    }
}

impl FleetSource {
    /// # Errors
    /// When the database does not answer.
    pub async fn secrets(&self) -> Result<Vec<FleetSecret>> {
        self.rows("`secret` IS NOT NULL", [], "`secret`").await
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn teams(&self) -> Result<Vec<FleetTeam>> {
        self.rows("TRUE", [], "`name`").await
    }
}
