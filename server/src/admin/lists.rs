//! Lists, whose work stays off the threads that answer agents and is done one part after the other.
//!
//! A list of hosts may be of any length. It is sent as it is read: a reader who is slow holds a few hundred hosts in memory
//! and no connection to the database. Lists of what operators make are read whole, since every node holds that anyway.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use muster_api::rest::{HostList, HostView};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::answer;
use super::error::Failed;
use crate::fleet::access::Principal;
use crate::fleet::hosts::HostListing;
use crate::fleet::{Error, Result};
use crate::lifecycle::Lifecycle;
use crate::lock::lock;
use crate::telemetry::Metrics;

/// Parts of lists that are worked on at one time.
const AT_ONE_TIME: usize = 1;

/// What stands before and behind the hosts of a list.
const HEAD: &str = "{\n  \"hosts\": [\n";
const TAIL: &str = "\n  ]\n}\n";

/// Where lists are read.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    workers: Arc<Semaphore>,
    /// The number of lists that each user is reading.
    readers: Arc<Mutex<HashMap<i64, u32>>>,
    max_per_user: u32,
    metrics: Arc<Metrics>,
}

/// A list that a user is reading. Dropping it makes room for another.
#[derive(Debug)]
struct ListGuard {
    user_id: i64,
    readers: Arc<Mutex<HashMap<i64, u32>>>,
}

impl Drop for ListGuard {
    fn drop(&mut self) {
        let mut readers = lock(&self.readers);
        if let Some(count) = readers.get_mut(&self.user_id) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.user_id);
            }
        }
    }
}

impl Lists {
    pub(super) fn new(max_per_user: u32, metrics: Arc<Metrics>) -> Self {
        let workers = Arc::new(Semaphore::new(AT_ONE_TIME));
        Self { workers, readers: Arc::default(), max_per_user: max_per_user.max(1), metrics }
    }

    /// Sends a list that is read whole.
    pub(super) async fn send<T, F>(
        &self,
        principal: &Principal,
        read: impl FnOnce() -> F + Send + 'static,
    ) -> std::result::Result<HttpResponse, Failed>
    where
        T: Serialize,
        F: Future<Output = Result<T>>,
    {
        let _guard = self.guard(principal.user.id)?;
        let text = self.work(move || async move { write(&read().await?) });
        Ok(HttpResponse::Ok().content_type(answer::JSON).body(text.await?))
    }

    /// Sends the list of hosts that `begin` begins.
    pub(super) async fn send_hosts<F>(
        &self,
        principal: &Principal,
        lifecycle: Lifecycle,
        begin: impl FnOnce() -> F + Send + 'static,
    ) -> std::result::Result<HttpResponse, Failed>
    where
        F: Future<Output = Result<HostListing>>,
    {
        let guard = self.guard(principal.user.id)?;
        let first = self.work(move || async move {
            let mut listing = begin().await?;
            let hosts = listing.read().await?;
            Ok((listing, hosts))
        });
        let (listing, hosts) = first.await?;
        if listing.is_finished() {
            return Ok(answer::ok(&HostList { hosts }));
        }
        let pieces = self.clone().pieces(listing, hosts, guard, lifecycle);
        Ok(HttpResponse::Ok().content_type(answer::JSON).streaming(pieces))
    }

    fn guard(&self, user_id: i64) -> Result<ListGuard> {
        let mut readers = lock(&self.readers);
        let count = readers.entry(user_id).or_default();
        if *count >= self.max_per_user {
            self.metrics.limit_hit("max_lists_per_user");
            let reason = "you are reading as many lists as server.max_lists_per_user allows";
            return Err(Error::Unavailable(reason.to_owned()));
        }
        *count += 1;
        Ok(ListGuard { user_id, readers: Arc::clone(&self.readers) })
    }

    /// Each piece is read when the one before was taken.
    fn pieces(
        self,
        listing: HostListing,
        hosts: Vec<HostView>,
        guard: ListGuard,
        lifecycle: Lifecycle,
    ) -> impl Stream<Item = io::Result<Bytes>> {
        let first = Some(HostListPart { listing, hosts, before: HEAD });
        stream::try_unfold(first, move |piece| {
            let (lists, lifecycle, _) = (self.clone(), lifecycle.clone(), &guard);
            async move {
                let Some(piece) = piece else { return Ok(None) };
                tokio::select! {
                    worked = lists.work(move || piece.write()) => worked.map(Some).map_err(io::Error::other),
                    // Not a good end: whoever reads must not take what was sent for everything.
                    () = lifecycle.stopped() => Err(io::Error::other("the server stops")),
                }
            }
        })
    }

    /// Runs work on a thread of its own, when it is its turn.
    async fn work<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let internal = |error: Box<dyn std::error::Error + Send + Sync>| Error::Internal(error);
        let permit = Arc::clone(&self.workers).acquire_owned().await.map_err(|error| internal(error.into()))?;
        let runtime = Handle::current();
        let worked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            runtime.block_on(work())
        });
        worked.await.map_err(|error| internal(error.into()))?
    }
}

/// Hosts that are sent next, and the rest of their list.
struct HostListPart {
    listing: HostListing,
    hosts: Vec<HostView>,
    before: &'static str,
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

fn write(body: &impl Serialize) -> Result<String> {
    answer::text(body).map_err(|error| Error::Internal(Box::new(error)))
}
