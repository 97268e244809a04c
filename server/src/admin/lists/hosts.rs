//! Lists of hosts as text, in parts.

use std::io;

use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use muster_api::rest::{HostList, HostView};

use super::csv::{self, Column};
use super::readers::{ListGuard, Work};
use crate::admin::answer;
use crate::admin::work::{internal, write};
use crate::fleet::Result;
use crate::fleet::hosts::HostListing;
use crate::lifecycle::Lifecycle;

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

    /// Whether the part before was the last one.
    pub(super) fn is_finished(&self) -> bool {
        self.has_begun && self.listing.is_finished()
    }

    pub(super) async fn next(&mut self) -> Result<Bytes> {
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

/// The text of a list, whose first part is here. The others are read when the one before was taken.
pub(super) fn parts(
    first: Bytes,
    text: HostText,
    guard: ListGuard,
    lifecycle: Lifecycle,
) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((Some(first), Some((guard, text))), move |(first, rest)| {
        let lifecycle = lifecycle.clone();
        async move {
            if let Some(first) = first {
                return Ok(Some((first, (None, rest))));
            }
            let Some((guard, mut text)) = rest.filter(|(_, text)| !text.is_finished()) else { return Ok(None) };
            let work = move || async move {
                let part = text.next().await?;
                Ok((part, text))
            };
            tokio::select! {
                written = guard.work(Work::Part, work) => {
                    let (guard, (part, text)) = written.map_err(io::Error::other)?;
                    Ok(Some((part, (None, Some((guard, text))))))
                }
                // Not a good end: whoever reads must not take what was sent for everything.
                () = lifecycle.stopped() => Err(io::Error::other("the server stops")),
            }
        }
    })
}
