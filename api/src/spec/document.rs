use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{API_VERSION, EnrollSecretSpec, LabelSpec, PackSpec, QuerySpec, UserRolesSpec};

/// What a document describes. Written in lower case; read in any case, plurals and 3.x words included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    Query,
    Pack,
    Label,
    Config,
    /// Agent options alone, as Fleet 3.x kept them.
    Options,
    EnrollSecret,
    UserRoles,
}

impl DocumentKind {
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Pack, Self::Label, Self::Config, Self::Options, Self::EnrollSecret, Self::UserRoles];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Pack => "pack",
            Self::Label => "label",
            Self::Config => "config",
            Self::Options => "options",
            Self::EnrollSecret => "enroll_secret",
            Self::UserRoles => "user_roles",
        }
    }

    /// Finds the kind a word names, whatever its case.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Config, options, secrets and roles may stand once in one apply; the others as often as there are names.
    pub fn is_singleton(self) -> bool {
        matches!(self, Self::Config | Self::Options | Self::EnrollSecret | Self::UserRoles)
    }
}

/// A document as it was read: the kind is known, the spec not yet looked into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    #[serde(rename = "apiVersion", default = "api_version")]
    pub api_version: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub spec: Value,
}

fn api_version() -> String {
    API_VERSION.to_owned()
}

/// A document whose spec has the type its kind asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum SpecDocument {
    Query(QuerySpec),
    Pack(PackSpec),
    Label(LabelSpec),
    /// Any subset of the configuration object; merged into what is there.
    Config(Value),
    Options(Value),
    EnrollSecret(EnrollSecretSpec),
    UserRoles(UserRolesSpec),
}

impl SpecDocument {
    pub fn kind(&self) -> DocumentKind {
        match self {
            Self::Query(_) => DocumentKind::Query,
            Self::Pack(_) => DocumentKind::Pack,
            Self::Label(_) => DocumentKind::Label,
            Self::Config(_) => DocumentKind::Config,
            Self::Options(_) => DocumentKind::Options,
            Self::EnrollSecret(_) => DocumentKind::EnrollSecret,
            Self::UserRoles(_) => DocumentKind::UserRoles,
        }
    }
}
