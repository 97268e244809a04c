use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FieldError, PlannedCosts, PlatformHosts};
use crate::absent::null_is_default;
use crate::spec::Document;

/// `POST spec/apply` and `POST spec/delete`: all documents or none, in one transaction.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Documents as in the files: `{"apiVersion","kind","spec"}`. None with `plan`.
    #[serde(default)]
    #[schemars(with = "Vec<Document>")]
    pub documents: Vec<Value>,
    /// The id of a plan, whose documents are applied if that changes what the plan says. Not for deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<i64>,
    /// Refuses, and changes nothing, if more objects than that would be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletes: Option<u64>,
    /// Only validates and reports what would change.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dry_run: bool,
    /// Also takes agent options in which this server finds mistakes; each becomes a warning.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Also deletes the queries, packs, labels and schedule entries that no document names, and puts agent options and
    /// `host_expiry_settings` back to what the server starts with if none sets them. Not for deleting. Needs the role admin.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub delete_unnamed: bool,
}

/// `POST spec/plan`: documents to be applied later, if that still changes what it would change now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    /// Documents as in the files: `{"apiVersion","kind","spec"}`.
    #[schemars(with = "Vec<Document>")]
    pub documents: Vec<Value>,
    /// Also takes agent options in which this server finds mistakes; each becomes a warning.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Refuses if more objects than that would be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deletes: Option<u64>,
    /// Also deletes the queries, packs, labels and schedule entries that no document names, and puts agent options and
    /// `host_expiry_settings` back to what the server starts with if none sets them. Needs the role admin.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub delete_unnamed: bool,
}

/// A plan: what an apply would change, and the id by which it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyPlan {
    pub id: i64,
    pub created_at: DateTime<Utc>,
    /// When it can no longer be applied.
    pub expires_at: DateTime<Utc>,
    /// What applying it changes.
    pub applied: Applied,
}

/// One plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyPlanEnvelope {
    pub plan: ApplyPlan,
}

/// A plan that is kept, in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedPlan {
    pub id: i64,
    pub created_at: DateTime<Utc>,
    /// When it can no longer be applied.
    pub expires_at: DateTime<Utc>,
    /// The email address of whoever made it.
    pub author: String,
    /// Whether agent options with mistakes are taken.
    pub force: bool,
    /// Absent if a node of an older version keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<PlanSummary>,
}

/// How much a plan changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSummary {
    pub created: u64,
    pub changed: u64,
    pub deleted: u64,
    pub unchanged: u64,
    /// Hosts whose config would change; absent if they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u64>,
}

/// `GET spec/plans`: the plans that can be applied, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanList {
    pub plans: Vec<ListedPlan>,
}

/// `GET spec/plans/{id}`: a plan as whoever made it was shown it, and whether it can still be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShownPlan {
    #[serde(flatten)]
    pub plan: ListedPlan,
    /// What was shown. Absent if a node of an older version keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// Whether applying it would change what was shown, as far as the caller may apply it.
    pub is_good: bool,
    /// Why it would be refused; empty if it is good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<FieldError>,
}

/// One plan with what it was shown as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShownPlanEnvelope {
    pub plan: ShownPlan,
}

/// The outcome of an apply or a delete, or of a dry run of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    pub dry_run: bool,
    /// One per document, in the order of the documents, one for each schedule that query documents have changed, and one for
    /// each object that is deleted because no document names it.
    pub changes: Vec<Change>,
    /// Of a dry run that would change something: the hosts whose config would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<TouchedHosts>,
    /// Of a plan that changes what hosts run: what that is predicted to cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<PlannedCosts>,
    /// Contents that are valid but probably not intended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<FieldError>,
}

/// The outcome for one document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    pub kind: String,
    /// Empty for kinds of which there is only one, such as `config`.
    pub name: String,
    pub action: Action,
    /// Names of the fields that differ; empty unless `action` is `changed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// What differs field by field, as far as there is room; empty unless `action` is `changed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<FieldDifference>,
}

/// A field of an object before and after a change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FieldDifference {
    /// Path in the object, such as `queries.processes.interval`.
    pub field: String,
    /// Text of the value, absent where the field is; of a list one element on a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether only the starts of the values are there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
    /// Whether the values are left out because they may be secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_secret: bool,
}

/// Hosts whose config a change would change, as far as their labels are known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TouchedHosts {
    pub changed: u64,
    /// All hosts.
    pub total: u64,
    /// Those whose config would change, by their platform.
    #[serde(default)]
    pub platforms: Vec<PlatformHosts>,
}

/// The action of an apply or a delete on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Created,
    Changed,
    #[default]
    Unchanged,
    Deleted,
    /// Nothing to delete: no object has this name.
    Absent,
    /// Documents of this kind cannot be deleted.
    Ignored,
}
