use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FieldError;
use crate::spec::{EnrollSecretSpec, GlobalScheduleSpec, UserRolesSpec};

/// `GET`/`POST spec/queries`, `spec/packs`, `spec/labels`: specs of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}List")]
#[serde(deny_unknown_fields)]
pub struct SpecList<T> {
    pub specs: Vec<T>,
}

/// `GET spec/queries/{name}`, `spec/packs/{name}` and `spec/labels/{name}`: one spec, although the key is plural.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}ByName")]
pub struct SpecByName<T> {
    pub specs: T,
}

/// `GET`/`POST spec/enroll_secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretsSpec {
    pub spec: EnrollSecretSpec,
    /// The same in responses, for clients of Fleet 3.x: they read this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specs: Option<EnrollSecretSpec>,
}

/// `GET`/`POST spec/osquery_options`: the agent options, as older clients call them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionsSpec {
    pub spec: Value,
}

/// `GET`/`POST spec/global_schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalScheduleDocument {
    pub spec: GlobalScheduleSpec,
}

/// `GET`/`POST users/roles/spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRoles {
    pub spec: UserRolesSpec,
}

/// One spec of a kind of which there is only one, before it is checked like a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UncheckedSpec {
    pub spec: Value,
}

/// As [`UncheckedSpec`] for enroll secrets, whose answers hold the spec twice: what was read can be sent back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UncheckedSecrets {
    pub spec: Value,
    /// Ignored.
    #[serde(default)]
    pub specs: Option<Value>,
}

/// The outcome of applying specs of one kind: `{}`, or warnings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedSpecs {
    /// Contents that are valid but probably not intended, or that are skipped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<FieldError>,
}
