//! What the address of a list of hosts asks for.

use chrono::SecondsFormat;
use maud::{Markup, html};
use muster_api::rest::HostView;

use super::MAX_TEXT;
use crate::admin::pages::parts::link;
use crate::fleet::hosts::{HostFilter, HostOrder, HostState};
use crate::fleet::{Error, Result};

pub(super) const STATES: [(&str, &str, HostState); 4] = [
    ("online", "Online", HostState::Online),
    ("offline", "Offline", HostState::Offline),
    ("missing", "Not seen for 30 days", HostState::Missing),
    ("new", "New today", HostState::New),
];

/// An order of the list: its word in addresses, and what is shown of each host.
pub(super) struct HostSort {
    pub word: &'static str,
    pub heading: &'static str,
    pub order: HostOrder,
    /// The latest first, if nothing else is asked for.
    pub is_descending: bool,
    pub value: fn(&HostView) -> String,
}

pub(super) const SORTS: [HostSort; 4] = [
    HostSort {
        word: "hostname",
        heading: "Host",
        order: HostOrder::Hostname,
        is_descending: false,
        value: |host| host.hostname.clone(),
    },
    HostSort {
        word: "osquery_version",
        heading: "osquery",
        order: HostOrder::OsqueryVersion,
        is_descending: false,
        value: |host| host.osquery_version.clone(),
    },
    HostSort {
        word: "seen_time",
        heading: "Last seen",
        order: HostOrder::SeenTime,
        is_descending: true,
        value: |host| host.seen_time.to_rfc3339_opts(SecondsFormat::Micros, true),
    },
    HostSort {
        word: "enrolled",
        heading: "Enrolled",
        order: HostOrder::EnrolledAt,
        is_descending: true,
        value: |host| host.last_enrolled_at.to_rfc3339_opts(SecondsFormat::Micros, true),
    },
];

/// What an address asks for. A word that is not known is refused, so that no filter is passed over in silence.
#[derive(Debug, Clone)]
pub(super) struct HostsAddress {
    pub text: String,
    pub status: String,
    pub label: String,
    pub platform: String,
    pub version: String,
    pub sort: String,
    /// `asc` or `desc`; empty for the usual direction of the sort.
    pub direction: String,
    /// Value and id of the host that the page begins behind.
    pub after: String,
    pub after_id: String,
}

impl HostsAddress {
    /// What these parameters say: those of an address, or the fields of a form.
    pub fn read(text: impl Fn(&str) -> String) -> Self {
        Self {
            text: text("query").trim().chars().take(MAX_TEXT).collect(),
            status: text("status"),
            label: text("label"),
            platform: text("platform"),
            version: text("osquery_version"),
            sort: text("sort"),
            direction: text("direction"),
            after: text("after"),
            after_id: text("after_id"),
        }
    }

    /// The address of this list on a page.
    pub fn link(&self, page: &str) -> String {
        link(page, &self.parameters())
    }

    fn parameters(&self) -> [(&'static str, &str); 9] {
        [
            ("query", self.text.as_str()),
            ("status", &self.status),
            ("label", &self.label),
            ("platform", &self.platform),
            ("osquery_version", &self.version),
            ("sort", &self.sort),
            ("direction", &self.direction),
            ("after", &self.after),
            ("after_id", &self.after_id),
        ]
    }

    /// The same, as hidden fields of a form.
    pub fn fields(&self) -> Markup {
        html! {
            @for (name, value) in self.parameters().iter().filter(|(_, value)| !value.is_empty()) {
                input type="hidden" name=(name) value=(value);
            }
        }
    }

    /// The same list from its beginning.
    pub fn first(&self) -> Self {
        Self { after: String::new(), after_id: String::new(), ..self.clone() }
    }

    pub fn sort(&self) -> Result<&'static HostSort> {
        let word = if self.sort.is_empty() { SORTS[0].word } else { &self.sort };
        let sort = SORTS.iter().find(|sort| sort.word == word);
        sort.ok_or_else(|| Error::invalid("sort", format!("hosts cannot be ordered by {word}")))
    }

    pub fn is_descending(&self) -> Result<bool> {
        match self.direction.as_str() {
            "" => Ok(self.sort()?.is_descending),
            "asc" => Ok(false),
            "desc" => Ok(true),
            other => Err(Error::invalid("direction", format!("there is no direction {other}"))),
        }
    }

    pub fn filter(&self) -> Result<HostFilter> {
        let sort = self.sort()?;
        let state = STATES.iter().find(|(word, ..)| *word == self.status);
        if !self.status.is_empty() && state.is_none() {
            return Err(Error::invalid("status", format!("there is no status {}", self.status)));
        }
        let number = |name: &str, text: &str| match text {
            "" => Ok(None),
            text => text.parse::<i64>().map(Some).map_err(|_| Error::invalid(name, format!("{text} is no id"))),
        };
        let after_id = number("after_id", &self.after_id)?;
        let no_value = || Error::invalid("after", "the address does not say where the page begins".to_owned());
        let after = after_id.map(|_| sort.order.value(&self.after).ok_or_else(no_value)).transpose()?;
        let word = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(HostFilter {
            text: self.text.clone(),
            label_id: number("label", &self.label)?,
            state: state.map(|(.., state)| *state),
            platform: word(&self.platform),
            osquery_version: word(&self.version),
            after,
            after_id,
            order: sort.order,
            is_descending: self.is_descending()?,
            ..HostFilter::default()
        })
    }
}
