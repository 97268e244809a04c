use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FieldError;
use crate::absent::null_is_default;
use crate::spec::Document;

/// `POST spec/apply` and `POST spec/delete`: all documents or none, in one transaction.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Documents as in the files: `{"apiVersion","kind","spec"}`.
    #[schemars(with = "Vec<Document>")]
    pub documents: Vec<Value>,
    /// Only validates and reports what would change.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dry_run: bool,
}

/// The outcome of an apply or a delete, or of a dry run of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    pub dry_run: bool,
    /// One per document, in the order of the documents.
    pub changes: Vec<Change>,
    /// Contents that are valid but probably not intended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<FieldError>,
}

/// The outcome for one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    pub kind: String,
    /// Empty for kinds of which there is only one, such as `config`.
    pub name: String,
    pub action: Action,
    /// Names of the fields that differ; empty unless `action` is `changed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// The action of an apply or a delete on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Created,
    Changed,
    Unchanged,
    Deleted,
    /// Nothing to delete: no object has this name.
    Absent,
    /// Documents of this kind cannot be deleted.
    Ignored,
}
