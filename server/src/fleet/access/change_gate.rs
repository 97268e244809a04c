//! Whether operators may change anything, and who tried while they may not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::Access;
use super::freeze::{Freezes, Frozen, FrozenNow};
use crate::clock::Clock;
use crate::config::Config;
use crate::fleet::documents::DocumentsNotice;
use crate::fleet::{Error, Result};
use crate::lock::lock;
use crate::store::activities::{self, Actor};

/// Most users and kinds of changes that are noted between two writes; further refusals are in the log alone.
const MAX_NOTED: usize = 1_000;

/// The kind of the activity that tells of refused changes.
const REFUSED: &str = "refused_change";

/// Why changes are refused, as operators are told.
const READ_ONLY: &str = "this server is read-only (server.read_only): nobody can change anything here, or ask hosts";

/// Lets changes and questions of operators through, or refuses all of them.
#[derive(Debug, Default)]
pub(super) struct ChangeGate {
    is_read_only: bool,
    pub(super) freezes: Freezes,
    /// The folder that documents come from, if that is so.
    pub(super) documents: Option<Arc<DocumentsNotice>>,
    clock: Clock,
    refused: Mutex<HashMap<RefusedKind, RefusedChanges>>,
}

/// The id of the user, the kind of change, and what refused it.
type RefusedKind = (Option<i64>, &'static str, Closed);

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub actor: &'a Actor,
    /// As activities name it.
    pub change: &'static str,
    pub kind: AttemptKind,
    /// Whether a reason to pass a freeze was given and kept.
    pub passes_freezes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptKind {
    Change,
    /// Of what a documents folder holds.
    Documents,
    /// Of enroll secrets, which a documents folder may name.
    Secrets,
    LiveQuery,
    /// A decision on SQL of somebody else, which may be for a live query.
    Approval,
}

/// What refuses changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Closed {
    ReadOnly,
    /// The window of this name.
    Frozen(Arc<str>),
    /// Documents come from a folder alone.
    Folder,
}

#[derive(Debug)]
struct RefusedChanges {
    actor: Actor,
    count: u64,
}

impl ChangeGate {
    pub fn new(config: &Config, clock: Clock) -> Self {
        let (is_read_only, freezes) = (config.server.read_only, Freezes::new(&config.freeze));
        let documents = DocumentsNotice::of(&config.documents);
        Self { is_read_only, freezes, documents, clock, refused: Mutex::default() }
    }

    pub fn is_open(&self, kind: AttemptKind) -> bool {
        !self.is_read_only && self.frozen(kind).is_none() && self.folder_for(kind).is_none()
    }

    pub fn frozen(&self, kind: AttemptKind) -> Option<Arc<Frozen>> {
        let FrozenNow { changes, live_queries } = self.freezes.at(self.clock.now());
        match kind {
            AttemptKind::Change | AttemptKind::Documents | AttemptKind::Secrets => changes,
            AttemptKind::LiveQuery | AttemptKind::Approval => live_queries,
        }
    }

    /// Why nobody may do something now, as operators are told; `None` if it is allowed.
    pub fn why_closed(&self, kind: AttemptKind) -> Option<String> {
        if self.is_read_only {
            return Some(READ_ONLY.to_owned());
        }
        match self.frozen(kind) {
            Some(frozen) => Some(self.why_frozen(&frozen, kind)),
            None => self.folder_for(kind).map(DocumentsNotice::why_refused),
        }
    }

    /// The folder that such changes have to go through, if that is so.
    fn folder_for(&self, kind: AttemptKind) -> Option<&DocumentsNotice> {
        let documents = self.documents.as_deref()?;
        let is_in_folder = match kind {
            AttemptKind::Documents => true,
            AttemptKind::Secrets => documents.names_secrets(),
            AttemptKind::Change | AttemptKind::LiveQuery | AttemptKind::Approval => false,
        };
        is_in_folder.then_some(documents)
    }

    /// What the server waits for before it changes something by itself, if nothing is to be changed now.
    pub fn waits_for(&self) -> Option<String> {
        if self.is_read_only {
            return Some("server.read_only to be off: nothing is changed here until then".to_owned());
        }
        let frozen = self.frozen(AttemptKind::Documents)?;
        let Frozen { window, until_there, .. } = &*frozen;
        Some(format!("the end of the change freeze {window:?}, at {until_there}"))
    }

    /// # Errors
    /// [`Error::Closed`] when nobody may change anything. Who tried is logged and noted.
    pub fn pass(&self, attempt: Attempt<'_>) -> Result<()> {
        if self.is_read_only {
            return self.refuse(attempt, Closed::ReadOnly, READ_ONLY.to_owned());
        }
        match self.frozen(attempt.kind).filter(|_| !attempt.passes_freezes) {
            None => match self.folder_for(attempt.kind) {
                None => Ok(()),
                Some(documents) => self.refuse(attempt, Closed::Folder, documents.why_refused()),
            },
            Some(frozen) => {
                let why = self.why_frozen(&frozen, attempt.kind);
                self.refuse(attempt, Closed::Frozen(Arc::clone(&frozen.window)), why)
            }
        }
    }

    /// Why changes are refused, as operators are told, and what they can do.
    fn why_frozen(&self, frozen: &Frozen, kind: AttemptKind) -> String {
        let what = match kind {
            AttemptKind::Change | AttemptKind::Documents | AttemptKind::Secrets => "nothing can be changed",
            AttemptKind::LiveQuery => "no live query can be started",
            AttemptKind::Approval => "no SQL can be approved or denied",
        };
        let remedy = match self.freezes.allow_override {
            true => {
                "wait, or let an administrator do it with a reason, which is kept: fleetctl --override-freeze REASON, or the \
                 header Muster-Freeze-Override"
            }
            false => "wait; the window is in the settings of the server (freeze.windows)",
        };
        let Frozen { window, until_there, .. } = frozen;
        format!("{what} until {until_there}, because of the change freeze {window:?}: {remedy}")
    }

    fn refuse(&self, attempt: Attempt<'_>, by: Closed, why: String) -> Result<()> {
        let Attempt { actor, change, .. } = attempt;
        tracing::warn!(user = actor.email, change, reason = why, "a change was refused");
        if actor.id.is_none() {
            // A stranger, whose tries would fill the activities.
            return Err(Error::Closed(why));
        }
        let mut refused = lock(&self.refused);
        let (key, is_full) = ((actor.id, change, by), refused.len() >= MAX_NOTED);
        if let Some(noted) = refused.get_mut(&key) {
            noted.count += 1;
        } else if !is_full {
            refused.insert(key, RefusedChanges { actor: actor.clone(), count: 1 });
        }
        Err(Error::Closed(why))
    }
}

impl Access {
    /// The folder that documents come from, if that is so.
    pub fn documents(&self) -> Option<Arc<DocumentsNotice>> {
        self.gate.documents.clone()
    }

    /// What the server waits for before it changes something by itself, if nothing is to be changed now.
    pub(in crate::fleet) fn waits_for(&self) -> Option<String> {
        self.gate.waits_for()
    }

    /// Writes refused changes into the activities.
    ///
    /// # Errors
    /// If the database does not answer; the next call writes them.
    pub async fn write_refused_changes(&self) -> Result<()> {
        let taken: Vec<_> = lock(&self.gate.refused).drain().collect();
        if taken.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let written = self.store.write(async |tx| {
            for ((_, change, by), refused) in &taken {
                let count = refused.count;
                let details = match by {
                    Closed::ReadOnly => json!({ "change": change, "count": count, "reason": "server.read_only" }),
                    Closed::Folder => json!({ "change": change, "count": count, "reason": "documents.folder" }),
                    Closed::Frozen(window) => {
                        json!({ "change": change, "count": count, "reason": "freeze.windows", "window": window })
                    }
                };
                activities::add(tx, now, &refused.actor, REFUSED, &details).await?;
            }
            Ok(())
        });
        if let Err(error) = written.await {
            self.note_again(taken);
            return Err(error.into());
        }
        Ok(())
    }

    fn note_again(&self, taken: Vec<(RefusedKind, RefusedChanges)>) {
        let mut refused = lock(&self.gate.refused);
        for (key, before) in taken {
            refused.entry(key).and_modify(|noted| noted.count += before.count).or_insert(before);
        }
    }
}
