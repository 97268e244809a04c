//! Lists of hosts as text, in parts.

use actix_web::web::Bytes;
use muster_api::rest::{HostList, HostView};

use super::csv::{self, Column};
use super::parts::TextParts;
use crate::admin::answer;
use crate::admin::work::{internal, write};
use crate::fleet::Result;
use crate::fleet::hosts::HostListing;

/// The text before and after the hosts of a list.
const HEAD: &str = "{\n  \"hosts\": [\n";
const TAIL: &str = "\n  ]\n}\n";

/// How hosts are written.
#[derive(Debug, Clone)]
pub(in crate::admin) enum HostFormat {
    /// One object, as Fleet writes it.
    Json,
    /// One object a line.
    Ndjson,
    /// A line with the names of these columns, and one for each host.
    Csv(Vec<Column>),
}

impl HostFormat {
    pub(in crate::admin) fn content_type(&self) -> &'static str {
        match self {
            Self::Json => answer::JSON,
            Self::Ndjson => "application/x-ndjson",
            Self::Csv(_) => "text/csv; charset=utf-8",
        }
    }

    fn begin(&self, text: &mut String) {
        if let Self::Csv(columns) = self {
            csv::head(columns, text);
        }
    }

    /// Writes hosts, which are not the first if there were some before.
    fn add(&self, text: &mut String, hosts: Vec<HostView>, is_first: bool) -> Result<()> {
        match self {
            Self::Json => {
                text.push_str(if is_first { HEAD } else { ",\n" });
                // What is left is the hosts, as they stand in a list that is written at once.
                text.push_str(write(&HostList { hosts })?.trim_start_matches(HEAD).trim_end_matches(TAIL));
            }
            Self::Ndjson => {
                for host in &hosts {
                    text.push_str(&serde_json::to_string(host).map_err(internal)?);
                    text.push('\n');
                }
            }
            Self::Csv(columns) => {
                for host in &hosts {
                    csv::line(columns, host, text)?;
                }
            }
        }
        Ok(())
    }

    fn end(&self, text: &mut String, is_empty: bool) {
        match self {
            Self::Json if is_empty => text.push_str("{\n  \"hosts\": []\n}\n"),
            Self::Json => text.push_str(TAIL),
            Self::Ndjson | Self::Csv(_) => {}
        }
    }
}

/// The text of a list. Each part of it is read when it is asked for.
pub(super) struct HostText {
    listing: HostListing,
    format: HostFormat,
    has_begun: bool,
    is_empty: bool,
}

impl HostText {
    pub(super) fn new(listing: HostListing, format: HostFormat) -> Self {
        Self { listing, format, has_begun: false, is_empty: true }
    }
}

impl TextParts for HostText {
    fn is_finished(&self) -> bool {
        self.has_begun && self.listing.is_finished()
    }

    async fn next(&mut self) -> Result<Bytes> {
        let mut text = String::new();
        if !self.has_begun {
            self.format.begin(&mut text);
            self.has_begun = true;
        }
        let hosts = self.listing.read().await?;
        // All of them may have been deleted.
        if !hosts.is_empty() {
            self.format.add(&mut text, hosts, self.is_empty)?;
            self.is_empty = false;
        }
        if self.listing.is_finished() {
            self.format.end(&mut text, self.is_empty);
        }
        Ok(text.into())
    }
}
