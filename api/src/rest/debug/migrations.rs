use serde::{Deserialize, Serialize};

/// How the schema of the database compares to what the node knows. The first four fields are Fleet's, whose migrations have
/// numbers instead of names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MigrationState {
    /// As Fleet counts: [`MigrationState::NONE`] to [`MigrationState::UNKNOWN`].
    pub status_code: u8,
    /// Numbers of the migrations that the database lacks.
    pub missing_table: Vec<i64>,
    /// Always empty: migrations of data are not a kind of their own.
    pub missing_data: Vec<i64>,
    /// Numbers of the migrations of a newer version.
    pub unknown_table: Vec<i64>,
    /// Names of what `missing_table` numbers.
    pub missing: Vec<String>,
    /// Names of what `unknown_table` numbers.
    pub unknown: Vec<String>,
}

impl MigrationState {
    /// The database has had no migration.
    pub const NONE: u8 = 0;
    /// Some are missing.
    pub const SOME: u8 = 1;
    /// Up to date.
    pub const ALL: u8 = 2;
    /// Up to date, and a newer version has migrated it further.
    pub const UNKNOWN: u8 = 3;
}
