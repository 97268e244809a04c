use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    API_VERSION, EnrollSecretSpec, GlobalScheduleSpec, LabelSpec, PackSpec, QueryDocument, RolloutSpec, UserRolesSpec,
};

/// The kind of a document. Written in lower case, read in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    Query,
    Pack,
    Label,
    GlobalSchedule,
    Config,
    /// Only the agent options, as in Fleet 3.x.
    Options,
    EnrollSecret,
    UserRoles,
    Rollout,
}

impl DocumentKind {
    pub const ALL: [Self; 9] = [
        Self::Query,
        Self::Pack,
        Self::Label,
        Self::GlobalSchedule,
        Self::Config,
        Self::Options,
        Self::EnrollSecret,
        Self::UserRoles,
        Self::Rollout,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Pack => "pack",
            Self::Label => "label",
            Self::GlobalSchedule => "global_schedule",
            Self::Config => "config",
            Self::Options => "options",
            Self::EnrollSecret => "enroll_secret",
            Self::UserRoles => "user_roles",
            Self::Rollout => "rollout",
        }
    }

    /// Finds the kind of this name, in any case. The plural and, for the kinds of which there is one, the singular will do.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase().replace('-', "_");
        Self::ALL.into_iter().find(|kind| kind.as_str() == word || kind.other_words().contains(&word.as_str()))
    }

    fn other_words(self) -> &'static [&'static str] {
        match self {
            Self::Query => &["queries"],
            Self::Pack => &["packs"],
            Self::Label => &["labels"],
            Self::GlobalSchedule => &["schedule", "global_schedules"],
            Self::Config => &["configs"],
            Self::Options => &["option", "osquery_options"],
            Self::EnrollSecret => &["enroll_secrets"],
            Self::UserRoles => &["user_role"],
            Self::Rollout => &["rollouts"],
        }
    }

    /// The JSON schema of the kind's spec, without references. `None` for `config` and `options`, which have no type.
    pub fn schema(self) -> Option<Value> {
        let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
        let mut schemas = settings.into_generator();
        let schema = match self {
            Self::Query => schemas.root_schema_for::<QueryDocument>(),
            Self::Pack => schemas.root_schema_for::<PackSpec>(),
            Self::Label => schemas.root_schema_for::<LabelSpec>(),
            Self::GlobalSchedule => schemas.root_schema_for::<GlobalScheduleSpec>(),
            Self::EnrollSecret => schemas.root_schema_for::<EnrollSecretSpec>(),
            Self::UserRoles => schemas.root_schema_for::<UserRolesSpec>(),
            Self::Rollout => schemas.root_schema_for::<RolloutSpec>(),
            Self::Config | Self::Options => return None,
        };
        Some(schema.to_value())
    }

    /// Whether an apply may have only one document of the kind; of the others it may have one per name.
    pub fn is_singleton(self) -> bool {
        matches!(self, Self::GlobalSchedule | Self::Config | Self::Options | Self::EnrollSecret | Self::UserRoles)
    }
}

/// A document: its kind, and a spec whose schema depends on the kind (`QueryDocument`, `PackSpec`, `LabelSpec`,
/// `GlobalScheduleSpec`, `EnrollSecretSpec`, `UserRolesSpec`, `RolloutSpec`, or an object for `config` and `options`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// A spec with the type of its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum SpecDocument {
    Query(QueryDocument),
    Pack(PackSpec),
    Label(LabelSpec),
    GlobalSchedule(GlobalScheduleSpec),
    /// Any subset of the configuration object; merged into what is there.
    Config(Value),
    Options(Value),
    EnrollSecret(EnrollSecretSpec),
    UserRoles(UserRolesSpec),
    Rollout(Box<RolloutSpec>),
}

impl SpecDocument {
    pub fn kind(&self) -> DocumentKind {
        match self {
            Self::Query(_) => DocumentKind::Query,
            Self::Pack(_) => DocumentKind::Pack,
            Self::Label(_) => DocumentKind::Label,
            Self::GlobalSchedule(_) => DocumentKind::GlobalSchedule,
            Self::Config(_) => DocumentKind::Config,
            Self::Options(_) => DocumentKind::Options,
            Self::EnrollSecret(_) => DocumentKind::EnrollSecret,
            Self::UserRoles(_) => DocumentKind::UserRoles,
            Self::Rollout(_) => DocumentKind::Rollout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_several_words() {
        for kind in DocumentKind::ALL {
            for word in kind.other_words().iter().copied().chain([kind.as_str()]) {
                assert_eq!(DocumentKind::parse(&word.to_uppercase()), Some(kind), "{word}");
                assert_eq!(DocumentKind::parse(&word.replace('_', "-")), Some(kind), "{word}");
            }
        }
        assert_eq!(DocumentKind::parse("querys"), None);
    }
}
