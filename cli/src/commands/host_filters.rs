//! What hosts have in common, as commands take it.

use clap::ValueEnum;
use clap_complete::ArgValueCompleter;
use muster_api::rest::HostFilters;

use super::{completion, labels};
use crate::rest::{RestClient, segment};

/// What hosts have in common; a host must match all that is given.
#[derive(Default, clap::Args)]
#[command(next_help_heading = "Hosts by what they have in common")]
pub struct FilterArgs {
    /// Hosts with this label
    #[arg(long, add = ArgValueCompleter::new(completion::labels))]
    label: Option<String>,
    /// Hosts with this status: online, offline, new (enrolled within a day) or missing (not seen for 30 days)
    #[arg(long, value_name = "STATUS", hide_possible_values = true)]
    status: Option<StatusFilter>,
    /// Hosts with this in a name, identifier or address, in any case
    #[arg(long, alias = "search_query", value_name = "TEXT")]
    search_query: Option<String>,
    /// Hosts of this platform, such as darwin or ubuntu; linux matches every distribution
    #[arg(long)]
    platform: Option<String>,
    /// Hosts with this version of osquery
    #[arg(long, value_name = "VERSION")]
    osquery_version: Option<String>,
    /// Hosts whose operating system has this name, such as Ubuntu
    #[arg(long, value_name = "NAME")]
    os_name: Option<String>,
    /// Hosts whose operating system has this version; without --os-name, its name and version
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// Hosts with less disk space left than so many gigabytes
    #[arg(long, value_name = "GB")]
    low_disk_space: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFilter {
    Online,
    Offline,
    New,
    #[value(alias = "mia")]
    Missing,
}

impl StatusFilter {
    fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::New => "new",
            Self::Missing => "missing",
        }
    }
}

impl FilterArgs {
    /// Whether anything is given.
    pub fn are_given(&self) -> bool {
        !self.words().is_empty()
    }

    /// What the hosts have in common, in words.
    pub fn shown(&self) -> String {
        self.words().join(", ")
    }

    fn words(&self) -> Vec<String> {
        let quoted = |what: &str, value: &Option<String>| value.as_ref().map(|value| format!("{what} {value:?}"));
        let words = [
            quoted("label", &self.label),
            self.status.map(|status| format!("status {}", status.word())),
            self.search_query.as_ref().map(|text| format!("{text:?} in a name or address")),
            quoted("platform", &self.platform),
            quoted("osquery version", &self.osquery_version),
            quoted("operating system", &self.os_name),
            quoted("version of the operating system", &self.os_version),
            self.low_disk_space.map(|gigabytes| format!("less than {gigabytes} GB of disk space")),
        ];
        words.into_iter().flatten().collect()
    }

    /// The same for the server, which knows labels by their ids.
    ///
    /// # Errors
    /// That there is no such label.
    pub async fn of(&self, server: &RestClient) -> anyhow::Result<HostFilters> {
        let label_id = match &self.label {
            Some(label) => Some(labels::id_of(server, label).await?),
            None => None,
        };
        Ok(HostFilters {
            query: self.search_query.clone(),
            status: self.status.map(|status| status.word().to_owned()),
            label_id,
            platform: self.platform.clone(),
            osquery_version: self.osquery_version.clone(),
            os_name: self.os_name.clone(),
            os_version: self.os_version.clone(),
            low_disk_space: self.low_disk_space,
            team_id: None,
        })
    }
}

/// A path with filters as its parameters, and with others.
pub fn with_filters(path: &str, filters: &HostFilters, others: &[(&str, &str)]) -> String {
    let HostFilters { query, status, label_id, platform, osquery_version, os_name, os_version, low_disk_space, .. } =
        filters;
    let text = |value: &Option<String>| value.as_deref().map(segment);
    let found = [
        ("query", text(query)),
        ("status", text(status)),
        ("label_id", label_id.map(|id| id.to_string())),
        ("platform", text(platform)),
        ("osquery_version", text(osquery_version)),
        ("os_name", text(os_name)),
        ("os_version", text(os_version)),
        ("low_disk_space", low_disk_space.map(|gigabytes| gigabytes.to_string())),
    ];
    let found = found.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let others = others.iter().map(|(name, value)| format!("{name}={}", segment(value)));
    let parameters: Vec<String> = others.chain(found).collect();
    if parameters.is_empty() { path.to_owned() } else { format!("{path}?{}", parameters.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_share_is_told_in_words_and_to_the_server() {
        let filters = FilterArgs {
            label: Some("kiosks".to_owned()),
            status: Some(StatusFilter::Missing),
            search_query: Some("x".to_owned()),
            low_disk_space: Some(5),
            ..FilterArgs::default()
        };
        let shown = "label \"kiosks\", status missing, \"x\" in a name or address, less than 5 GB of disk space";
        assert_eq!(filters.shown(), shown);
        assert!(filters.are_given() && !FilterArgs::default().are_given());
        let sent = HostFilters {
            query: Some("a b&c".to_owned()),
            status: Some("new".to_owned()),
            label_id: Some(7),
            low_disk_space: Some(5),
            ..HostFilters::default()
        };
        let expected = "hosts?per_page=20&query=a%20b%26c&status=new&label_id=7&low_disk_space=5";
        assert_eq!(with_filters("hosts", &sent, &[("per_page", "20")]), expected);
        assert_eq!(with_filters("hosts", &HostFilters::default(), &[]), "hosts");
    }
}
