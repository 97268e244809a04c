//! The documents operators keep in files: one type per `kind`, the same for reading and writing.
//!
//! Every type refuses unknown keys, so a misspelt key is an error and never silently ignored, and reads null as absent.

mod document;
mod global_schedule;
mod label;
mod pack;
mod query;
mod rollout;
mod secret;
mod user_roles;

pub use document::{Document, DocumentKind, SpecDocument};
pub use global_schedule::GlobalScheduleSpec;
pub use label::{LabelMembership, LabelSpec, LabelType};
pub use pack::{PackQuery, PackSpec, PackTargets};
pub use query::{QueryDocument, QueryLogging, QuerySpec};
pub use rollout::{CohortSpec, GateSpec, InlineRollout, RolloutGates, RolloutSpec, time_span};
pub use secret::{EnrollSecretSpec, HostQuota, SecretSpec, UnlimitedWord, expiry, expiry_text};
pub use user_roles::{UserRoleSpec, UserRolesSpec};

/// The only `apiVersion` there is.
pub const API_VERSION: &str = "v1";
