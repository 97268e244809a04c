//! Applies documents that come from a folder alone (`documents.folder`).
//!
//! The leader applies the folder when its contents differ from what was applied last, or when something else has changed what hosts
//! run. Contents are applied when two looks have found the same.
//!
//! Folders of nodes may differ for a while, and a new leader with an older one must not go back. So each node notes whether its folder
//! has held what was applied last; from then on, whatever the folder holds is newer. A folder that has not is applied only if it was
//! changed later than any that was applied before, by the times of its file system; else that is a problem for somebody to look at.

mod attempt;
mod notice;
mod state;

pub use notice::DocumentsNotice;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_api::rest::DocumentsStatus;
use tokio::sync::Mutex;

use self::attempt::Came;
use self::state::{FolderState, StoredProblem};
use super::access::{Access, Permission, Principal};
use super::apply::Applier;
use super::schedule::Schedule;
use super::{Error, Fleet, Node, Result};
use crate::clock::{Clock, Moment};
use crate::config;
use crate::documents::{self, FolderContents, SeenContents, Unread};
use crate::store::{Store, settings};
use crate::telemetry::Metrics;

/// How long contents must stay the same before they are applied.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// How long git may be at work, or files may change, until somebody should look.
const MAX_BUSY: Duration = Duration::from_secs(600);

/// How often documents are compared with the server though nothing seems to have changed: hosts that labels name may have come.
const COMPARED_EVERY: Duration = Duration::from_secs(600);

/// The folder that documents come from.
#[derive(Debug)]
pub struct DocumentsFolder {
    folder: PathBuf,
    config: config::Documents,
    parts: DocumentsParts,
    notice: Arc<DocumentsNotice>,
    memory: Mutex<Memory>,
}

/// What the folder is applied with.
#[derive(Debug, Clone)]
pub struct DocumentsParts {
    pub store: Store,
    pub clock: Clock,
    pub node: Arc<Node>,
    pub access: Arc<Access>,
    pub applier: Arc<Applier>,
    pub schedule: Arc<Schedule>,
    pub metrics: Arc<Metrics>,
}

/// What this node remembers from look to look.
#[derive(Debug, Default)]
struct Memory {
    looked_at: Option<Moment>,
    /// The contents that were found last, and when they were found first.
    found: Option<(SeenContents, Moment)>,
    busy_since: Option<Moment>,
    /// What was applied last when this folder held the same.
    caught_up_with: Option<u64>,
    compared: Option<Compared>,
}

/// When the server was found to be as the folder says.
#[derive(Debug, Clone, Copy)]
struct Compared {
    sequence: u64,
    generation: i64,
    at: Moment,
}

impl DocumentsFolder {
    /// `None` if documents do not come from a folder.
    pub fn new(config: &config::Documents, parts: DocumentsParts) -> Option<Arc<Self>> {
        let (folder, notice) = (config.folder.clone()?, parts.access.documents()?);
        Some(Arc::new(Self { folder, config: config.clone(), parts, notice, memory: Mutex::default() }))
    }

    /// Looks at the folder if it is time, or in any case, and applies it if this node leads and there is something to apply.
    ///
    /// # Errors
    /// When the database does not answer; the next call looks again.
    pub async fn look(&self, in_any_case: bool) -> Result<()> {
        let mut memory = self.memory.lock().await;
        let now = self.parts.clock.now();
        if !in_any_case && !self.is_due(&memory, now) {
            return Ok(());
        }
        memory.looked_at = Some(now);
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || documents::read(&folder)).await;
        let read = read.map_err(|error| Error::Internal(Box::new(error)))?;
        let stored = settings::get(self.parts.store.reader(), settings::DOCUMENTS_FOLDER).await?;
        let state = FolderState::read(stored.as_ref());
        let seen = read.as_ref().ok().map(|contents| contents.seen.clone());
        let is_settled = memory.see(seen.as_ref(), &state, now);
        if !self.parts.node.is_leader() {
            memory.compared = None;
            self.publish(&state, seen.as_ref());
            return Ok(());
        }
        let came = match read {
            Err(Unread::Unusable(why)) => {
                memory.busy_since = None;
                Came::problem(why)
            }
            Err(Unread::Busy(why)) if now.since(*memory.busy_since.get_or_insert(now)) < MAX_BUSY => Came::Waits(why),
            Err(Unread::Busy(why)) => {
                let minutes = MAX_BUSY.as_secs() / 60;
                Came::problem(format!("{why}, for more than {minutes} minutes: end it, or remove what was left behind"))
            }
            Ok(_) if !is_settled => Came::Waits("the files to stay as they are for a moment".to_owned()),
            Ok(contents) => {
                // Boxed: it is as deep as any apply.
                Box::pin(self.attempt(contents, stored.clone(), &state, &mut memory)).await?
            }
        };
        let state = self.keep(came, state, now).await?;
        self.publish(&state, seen.as_ref());
        Ok(())
    }

    fn is_due(&self, memory: &Memory, now: Moment) -> bool {
        let is_moving = memory.busy_since.is_some()
            || memory
                .found
                .as_ref()
                .is_some_and(|(_, since)| memory.looked_at.is_some_and(|looked| looked.since(*since) < SETTLED_AFTER));
        is_moving || memory.looked_at.is_none_or(|looked| now.since(looked) >= self.config.interval)
    }

    /// Writes what came of a look, if the nodes do not know it yet, and logs what is new.
    async fn keep(&self, came: Came, before: FolderState, now: Moment) -> Result<FolderState> {
        let (problem, waits_for, applied) = match came {
            Came::Applied(applied) => (None, None, Some(applied)),
            Came::Waits(what) => (before.problem.clone(), Some(what), before.applied.clone()),
            Came::Closed(why) => (None, Some(why), before.applied.clone()),
            Came::Problem(reasons) => {
                let known = before.problem.as_ref().filter(|known| known.reasons == reasons).map(|known| known.since);
                let since = known.unwrap_or(now.0);
                (Some(StoredProblem { reasons, since }), None, before.applied.clone())
            }
        };
        let state = FolderState { applied, problem, waits_for };
        if state == before {
            return Ok(state);
        }
        let folder = self.notice.folder();
        match (&before.problem, &state.problem) {
            (before, Some(problem)) if before.as_ref() != Some(problem) => {
                let problems = problem.reasons.join(" | ");
                tracing::error!(
                    folder,
                    problems,
                    "the documents folder is not applied; hosts keep what was applied last"
                );
            }
            (Some(_), None) => tracing::info!(folder, "the documents folder is applied again"),
            _ => {}
        }
        if before.waits_for != state.waits_for
            && let Some(waits_for) = &state.waits_for
        {
            tracing::info!(folder, waits_for, "the documents folder waits");
        }
        let value = serde_json::to_value(&state).map_err(|error| Error::Internal(Box::new(error)))?;
        let written = self.parts.store.write(async |tx| {
            // Another node may lead by now, and have applied more.
            let stored = settings::get(tx, settings::DOCUMENTS_FOLDER).await?;
            let sequence = |state: &FolderState| state.applied.as_ref().map(|applied| applied.sequence);
            if sequence(&FolderState::read(stored.as_ref())) <= sequence(&state) {
                settings::set(tx, settings::DOCUMENTS_FOLDER, &value, now).await?;
            }
            Ok(())
        });
        written.await?;
        Ok(state)
    }

    fn publish(&self, state: &FolderState, seen: Option<&SeenContents>) {
        let metrics = &self.parts.metrics;
        let applied = state.applied.as_ref();
        metrics.documents_applied.set(applied.map_or(0, |applied| Moment(applied.applied_at).seconds()));
        metrics.documents_failing.set(i64::from(state.problem.is_some()));
        metrics.documents_differ.set(i64::from(!seen.is_some_and(|seen| state.is_applied(seen))));
        self.notice.publish(state.status(seen), applied.is_some_and(|applied| applied.names_secrets));
    }
}

impl Memory {
    /// Notes what the folder holds. Gives whether it has held that for a while.
    fn see(&mut self, seen: Option<&SeenContents>, state: &FolderState, now: Moment) -> bool {
        let Some(seen) = seen else {
            self.found = None;
            return false;
        };
        self.busy_since = None;
        let since = match &self.found {
            Some((found, since)) if found.digest == seen.digest && found.commit == seen.commit => *since,
            _ => now,
        };
        self.found = Some((seen.clone(), since));
        if let Some(applied) = state.applied.as_ref().filter(|applied| applied.digest == seen.digest) {
            self.caught_up_with = Some(applied.sequence);
            // Known already: nothing half-written.
            return applied.commit == seen.commit || now.since(since) >= SETTLED_AFTER;
        }
        now.since(since) >= SETTLED_AFTER
    }
}

impl Fleet {
    /// Whether documents come from a folder, and how that goes.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not read the configuration.
    pub fn documents_status(&self, principal: &Principal) -> Result<DocumentsStatus> {
        principal.may(Permission::ReadConfig)?;
        Ok(principal.documents().map(|notice| (*notice.status()).clone()).unwrap_or_default())
    }
}

/// What a folder holds, with the JSON of its documents.
struct ToApply {
    contents: FolderContents,
    documents: Vec<serde_json::Value>,
}
