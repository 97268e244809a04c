//! Lists, counts and searches, whose work stays off the threads that answer agents.
//!
//! A list of hosts may be of any length. It is sent as it is read: a reader who is slow holds the ids of the list and a few
//! hundred hosts in memory, for as long as `server.stream_timeout` allows, and no connection to the database. Lists of what
//! operators make are read whole and sent in pieces; what waits of them is bounded for each user.

mod csv;
mod hosts;
mod parts;
mod readers;

use std::future::Future;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_DISPOSITION;
use serde::Serialize;

pub(super) use self::csv::{COLUMNS, Column, add as add_cell};
pub(super) use self::hosts::HostFormat;
use self::hosts::HostText;
pub(super) use self::parts::TextParts;
use self::readers::{Readers, Work};
use super::answer::Answers;
use super::error::Failed;
use super::stream::paced;
use super::work::{OperatorPool, write};
use crate::config;
use crate::fleet::Result;
use crate::fleet::access::Principal;
use crate::fleet::hosts::HostListing;
use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

/// Where lists are read.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    readers: Readers,
    answers: Answers,
    lifecycle: Lifecycle,
}

/// A file that a browser is to save an answer as.
pub(super) type FileName = Option<String>;

impl Lists {
    pub(super) fn new(
        config: &config::Server,
        operators: OperatorPool,
        answers: Answers,
        lifecycle: Lifecycle,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { readers: Readers::new(config, operators, metrics), answers, lifecycle }
    }

    /// Reads on the threads of operators, in the reader's turn.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::fleet::Error::Unavailable) to users who read as many lists as they may and when the
    /// queue is full; and the errors of the reading.
    pub(super) async fn read<T, F>(&self, principal: &Principal, read: impl FnOnce() -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let (_guard, read) = self.readers.begin(principal.user.id)?.work(Work::Search, read).await?;
        Ok(read)
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
        let guard = self.readers.begin(principal.user.id)?;
        let (mut guard, text) = guard.work(Work::Search, move || async move { write(&read().await?) }).await?;
        guard.hold(text.len())?;
        Ok(self.answers.whole(text, guard))
    }

    /// Sends the list of hosts that `begin` begins.
    pub(super) async fn send_hosts<F>(
        &self,
        principal: &Principal,
        format: HostFormat,
        file: FileName,
        begin: impl FnOnce() -> F + Send + 'static,
    ) -> std::result::Result<HttpResponse, Failed>
    where
        F: Future<Output = Result<HostListing>>,
    {
        let content_type = format.content_type();
        let begin = move || async move { Ok(HostText::new(begin().await?, format)) };
        self.send_parts(principal, content_type, file, begin).await
    }

    /// Sends the text that `begin` begins, part by part.
    pub(super) async fn send_parts<T, F>(
        &self,
        principal: &Principal,
        content_type: &'static str,
        file: FileName,
        begin: impl FnOnce() -> F + Send + 'static,
    ) -> std::result::Result<HttpResponse, Failed>
    where
        T: TextParts,
        F: Future<Output = Result<T>>,
    {
        let guard = self.readers.begin(principal.user.id)?;
        let first = guard.work(Work::Search, move || async move {
            let mut text = begin().await?;
            let part = text.next().await?;
            Ok((text, part))
        });
        let (mut guard, (text, part)) = first.await?;
        let mut response = HttpResponse::Ok();
        response.content_type(content_type);
        if let Some(file) = file {
            response.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")));
        }
        if text.is_finished() {
            return Ok(response.body(part));
        }
        guard.begin_stream()?;
        let parts = parts::following(part, text, guard, self.lifecycle.clone());
        Ok(response.streaming(paced(parts, self.answers.pace.clone())))
    }
}
