//! Whether operators may change anything, and who tried while they may not.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::json;

use super::Access;
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
    /// By the id of the user and the kind of change.
    refused: Mutex<HashMap<(Option<i64>, &'static str), RefusedChanges>>,
}

#[derive(Debug)]
struct RefusedChanges {
    actor: Actor,
    count: u64,
}

impl ChangeGate {
    pub fn new(is_read_only: bool) -> Self {
        Self { is_read_only, refused: Mutex::default() }
    }

    pub fn is_open(&self) -> bool {
        !self.is_read_only
    }

    /// # Errors
    /// [`Error::Closed`] when nobody may change anything. Who tried is logged and noted.
    pub fn pass(&self, actor: &Actor, change: &'static str) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        tracing::warn!(user = actor.email, change, "a change was refused, as this server is read-only");
        if actor.id.is_none() {
            // A stranger, whose tries would fill the activities.
            return Err(Error::Closed(READ_ONLY));
        }
        let mut refused = lock(&self.refused);
        let (key, is_full) = ((actor.id, change), refused.len() >= MAX_NOTED);
        if let Some(noted) = refused.get_mut(&key) {
            noted.count += 1;
        } else if !is_full {
            refused.insert(key, RefusedChanges { actor: actor.clone(), count: 1 });
        }
        Err(Error::Closed(READ_ONLY))
    }
}

impl Access {
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
            for ((_, change), refused) in &taken {
                let details = json!({ "change": change, "count": refused.count, "reason": "server.read_only" });
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

    fn note_again(&self, taken: Vec<((Option<i64>, &'static str), RefusedChanges)>) {
        let mut refused = lock(&self.gate.refused);
        for (key, before) in taken {
            refused.entry(key).and_modify(|noted| noted.count += before.count).or_insert(before);
        }
    }
}
