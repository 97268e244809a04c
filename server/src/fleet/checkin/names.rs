use std::fmt;

use super::details::DetailQuery;

/// The name of a question, as agents send and return it. The prefixes are those Fleet's users know from agents' logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    Detail(&'static str),
    Label(i64),
}

const DETAIL: &str = "fleet_detail_query_";
const LABEL: &str = "fleet_label_query_";

impl Name {
    /// Whether it is asked apart from the others.
    pub(super) fn is_apart(self) -> bool {
        matches!(self, Self::Detail(name) if super::details::named(name).is_some_and(DetailQuery::is_apart))
    }

    /// Whether it asks which tables the agent has.
    pub(super) fn is_schema(self) -> bool {
        matches!(self, Self::Detail(name) if name == super::details::SCHEMA.name)
    }

    /// Reads a name an agent returns. `None` for a name that is never sent.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(id) = text.strip_prefix(LABEL) {
            return id.parse().ok().map(Self::Label);
        }
        let detail = text.strip_prefix(DETAIL)?;
        super::details::ALL.iter().find(|query| query.name == detail).map(|query| Self::Detail(query.name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detail(name) => write!(f, "{DETAIL}{name}"),
            Self::Label(id) => write!(f, "{LABEL}{id}"),
        }
    }
}
