use serde::{Deserialize, Serialize};

use crate::spec::{EnrollSecretSpec, UserRolesSpec};

/// `GET`/`POST spec/queries`, `spec/packs`, `spec/labels`: all of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecList<T> {
    pub specs: Vec<T>,
}

/// `GET spec/queries/{name}` and its like: one object, under the plural key all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecByName<T> {
    pub specs: T,
}

/// `GET`/`POST spec/enroll_secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsSpec {
    pub spec: EnrollSecretSpec,
}

/// `GET`/`POST users/roles/spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRoles {
    pub spec: UserRolesSpec,
}
