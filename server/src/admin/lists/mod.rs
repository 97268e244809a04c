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

use actix_web::body::SizedStream;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

pub(super) use self::csv::{COLUMNS, Column, add as add_cell};
pub(super) use self::hosts::HostFormat;
use self::hosts::HostText;
pub(super) use self::parts::TextParts;
pub(super) use self::readers::ListGuard;
use self::readers::{Readers, Work};
use super::answer::Answers;
use super::error::Failed;
use super::live::session_end;
use super::stream::paced_until;
use super::work::{OperatorPool, write};
use crate::config;
use crate::fleet::access::Principal;
use crate::fleet::hosts::HostListing;
use crate::fleet::{Fleet, Result};
use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

/// Where lists are read.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    fleet: Fleet,
    readers: Readers,
    answers: Answers,
    lifecycle: Lifecycle,
}

/// A file that a browser is to save an answer as.
pub(super) type FileName = Option<String>;

/// The head of an answer that is a file of known size.
pub(super) struct FileHead {
    pub head: HttpResponseBuilder,
    pub name: String,
    /// Bytes that are sent.
    pub bytes: u64,
}

impl Lists {
    pub(super) fn new(
        fleet: Fleet,
        config: &config::Server,
        operators: OperatorPool,
        answers: Answers,
        lifecycle: Lifecycle,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { fleet, readers: Readers::new(config, operators, metrics), answers, lifecycle }
    }

    /// Counts something that goes on, such as a stream, among the lists that a user is reading, until the guard is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::fleet::Error::Unavailable) to users who read as many lists as they may.
    pub(super) fn begin(&self, principal: &Principal) -> Result<ListGuard> {
        self.readers.begin(principal.user.id)
    }

    /// Sends what is written whole on the threads of operators, in the reader's turn. `begin` makes the head of the answer and
    /// its text of what was written; the text counts among what waits for the user's clients.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::fleet::Error::Unavailable) to users who read as many lists as they may or whose clients
    /// have too much to take, and when the queue is full; and the errors of the writing.
    pub(super) async fn send_written<T, F>(
        &self,
        principal: &Principal,
        write: impl FnOnce() -> F + Send + 'static,
        begin: impl FnOnce(T) -> (HttpResponseBuilder, Bytes),
    ) -> Result<HttpResponse>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let (mut guard, written) = self.begin(principal)?.work(Work::Search, write).await?;
        let (head, text) = begin(written);
        guard.hold(text.len())?;
        Ok(self.answers.send(head, text, guard))
    }

    /// Reads in the reader's turn what is not sent as it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::fleet::Error::Unavailable) to users who read as many lists as they may and when the queue is
    /// full; and the errors of the reading.
    pub(super) async fn read<T, F>(&self, principal: &Principal, read: impl FnOnce() -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
    {
        Ok(self.begin(principal)?.work(Work::Search, read).await?.1)
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

    /// Sends a file that `begin` finds, part by part. `open` gives what is sent of it, or another answer.
    pub(super) async fn send_file<S, T, F>(
        &self,
        principal: &Principal,
        begin: impl FnOnce() -> F + Send + 'static,
        open: impl FnOnce(S) -> std::result::Result<(FileHead, T), Box<HttpResponse>>,
    ) -> std::result::Result<HttpResponse, Failed>
    where
        S: Send + 'static,
        T: TextParts,
        F: Future<Output = Result<S>>,
    {
        let (mut guard, found) = self.begin(principal)?.work(Work::Search, begin).await?;
        let (FileHead { mut head, name, bytes }, parts) = match open(found) {
            Ok(opened) => opened,
            Err(other) => return Ok(*other),
        };
        // As for lists of hosts.
        head.insert_header((CACHE_CONTROL, "no-store")).insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        head.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
        guard.begin_stream()?;
        let parts = parts::following(Bytes::new(), parts, guard, self.lifecycle.clone());
        let end = session_end(self.fleet.clone(), principal.clone(), None);
        Ok(head.body(SizedStream::new(bytes, paced_until(end, parts, self.answers.pace.clone()))))
    }

    /// Sends the text that `begin` begins, part by part. Nothing is sent before the first part that is not empty, so what
    /// fails until then is answered as a failure. A text that takes long breaks off when the session of its reader ends.
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
        let (mut guard, mut text) = self.begin(principal)?.work(Work::Search, begin).await?;
        let mut part = Bytes::new();
        while part.is_empty() && !text.is_finished() {
            let next = move || async move { Ok((text.next().await?, text)) };
            (guard, (part, text)) = guard.work(Work::Search, next).await?;
        }
        let mut response = HttpResponse::Ok();
        response.content_type(content_type);
        // A file that a user may read is nothing for caches between, and no page, whatever is in it.
        response.insert_header((CACHE_CONTROL, "no-store")).insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if let Some(file) = file {
            response.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")));
        }
        if text.is_finished() {
            return Ok(response.body(part));
        }
        guard.begin_stream()?;
        let parts = parts::following(part, text, guard, self.lifecycle.clone());
        let end = session_end(self.fleet.clone(), principal.clone(), None);
        Ok(response.streaming(paced_until(end, parts, self.answers.pace.clone())))
    }
}
