//! Lists, counts and searches, whose work stays off the threads that answer agents.
//!
//! A list of hosts may be of any length. It is sent as it is read: a reader who is slow holds the ids of the list and a few
//! hundred hosts in memory, and no connection to the database. Lists of what operators make are read whole and sent in
//! pieces; what waits of them is bounded for each user.

mod hosts;
mod readers;

use std::future::Future;
use std::sync::Arc;

use actix_web::HttpResponse;
use muster_api::rest::HostList;
use serde::Serialize;

use self::readers::{Readers, Work};
use super::answer;
use super::error::Failed;
use crate::config;
use crate::fleet::access::Principal;
use crate::fleet::hosts::HostListing;
use crate::fleet::{Error, Result};
use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

/// Where lists are read.
#[derive(Debug, Clone)]
pub(super) struct Lists(Readers);

impl Lists {
    pub(super) fn new(config: &config::Server, metrics: Arc<Metrics>) -> Self {
        Self(Readers::new(config, metrics))
    }

    /// Sends what is read whole.
    pub(super) async fn send<T, F>(
        &self,
        principal: &Principal,
        read: impl FnOnce() -> F + Send + 'static,
    ) -> std::result::Result<HttpResponse, Failed>
    where
        T: Serialize,
        F: Future<Output = Result<T>>,
    {
        let guard = self.0.begin(principal.user.id)?;
        let (mut guard, text) = guard.work(Work::Search, move || async move { write(&read().await?) }).await?;
        guard.hold(text.len())?;
        Ok(answer::in_pieces(text, guard))
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
        let guard = self.0.begin(principal.user.id)?;
        let first = guard.work(Work::Search, move || async move {
            let mut listing = begin().await?;
            let hosts = listing.read().await?;
            Ok((listing, hosts))
        });
        let (guard, (listing, hosts)) = first.await?;
        if listing.is_finished() {
            return Ok(answer::ok(&HostList { hosts }));
        }
        let parts = hosts::parts(listing, hosts, guard, lifecycle);
        Ok(HttpResponse::Ok().content_type(answer::JSON).streaming(parts))
    }
}

fn write(body: &impl Serialize) -> Result<String> {
    answer::text(body).map_err(|error| Error::Internal(Box::new(error)))
}
