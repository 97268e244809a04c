use std::io;

use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use muster_api::rest::{HostList, HostView};

use super::readers::{ListGuard, Work};
use super::write;
use crate::fleet::Result;
use crate::fleet::hosts::HostListing;
use crate::lifecycle::Lifecycle;

/// The text before and after the hosts of a list.
const HEAD: &str = "{\n  \"hosts\": [\n";
const TAIL: &str = "\n  ]\n}\n";

/// Hosts that are sent next, and the rest of their list.
struct HostListPart {
    listing: HostListing,
    hosts: Vec<HostView>,
    before: &'static str,
}

/// The text of a list, of which `hosts` are the first. Each part is read when the one before was taken.
pub(super) fn parts(
    listing: HostListing,
    hosts: Vec<HostView>,
    guard: ListGuard,
    lifecycle: Lifecycle,
) -> impl Stream<Item = io::Result<Bytes>> {
    let first = Some((guard, HostListPart { listing, hosts, before: HEAD }));
    stream::try_unfold(first, move |next| {
        let lifecycle = lifecycle.clone();
        async move {
            let Some((guard, part)) = next else { return Ok(None) };
            let written = tokio::select! {
                written = guard.work(Work::Part, move || part.write()) => written.map_err(io::Error::other),
                // Not a good end: whoever reads must not take what was sent for everything.
                () = lifecycle.stopped() => Err(io::Error::other("the server stops")),
            };
            written.map(|(guard, (text, rest))| Some((text, rest.map(|rest| (guard, rest)))))
        }
    })
}

impl HostListPart {
    /// Writes the hosts as a part of the list, and reads the next ones.
    async fn write(mut self) -> Result<(Bytes, Option<Self>)> {
        let (hosts, is_last) = (std::mem::take(&mut self.hosts), self.listing.is_finished());
        let mut text = String::new();
        if !hosts.is_empty() {
            let whole = write(&HostList { hosts })?;
            text.push_str(self.before);
            // What is left is the hosts, as they stand in a list that is written at once.
            text.push_str(whole.trim_start_matches(HEAD).trim_end_matches(TAIL));
            self.before = ",\n";
        }
        if is_last {
            text.push_str(if self.before == HEAD { "{\n  \"hosts\": []\n}\n" } else { TAIL });
            return Ok((text.into(), None));
        }
        self.hosts = self.listing.read().await?;
        Ok((text.into(), Some(self)))
    }
}
