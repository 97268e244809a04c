//! People who may sign in.

use super::columns::source_row;
use super::{FleetSource, Result};

source_row! {
    /// A user of Fleet. Passwords and sessions are not read.
    FleetUser from "users" {
        id: i64 = need "id";
        email: String = need "email";
        name: String = may "name";
        /// From 4.0 on; none for users of teams alone.
        global_role: Option<String> = may "global_role";
        /// Of 3.x.
        admin: Option<bool> = may "admin";
        /// Of 3.x.
        enabled: Option<bool> = may "enabled";
        sso_enabled: bool = may "sso_enabled";
        api_only: bool = may "api_only";
    }
}

impl FleetSource {
    /// # Errors
    /// When the database does not answer.
    pub async fn users(&self) -> Result<Vec<FleetUser>> {
        self.rows("TRUE", [], "`id`").await
    }
}
