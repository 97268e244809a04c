use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::spec::{EnrollSecretSpec, UserRolesSpec};

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
}

/// `GET`/`POST spec/osquery_options`: the agent options, as older clients call them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionsSpec {
    pub spec: Value,
}

/// `GET`/`POST users/roles/spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRoles {
    pub spec: UserRolesSpec,
}
