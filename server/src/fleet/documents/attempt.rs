//! Applies what the folder holds, or says why not.

use std::fmt::Write as _;

use muster_api::rest::{Action, Change};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::state::{FolderState, InForce};
use super::{COMPARED_EVERY, Compared, DocumentsFolder, Memory, ToApply};
use crate::documents::{DELETIONS, FolderContents, SeenContents};
use crate::fleet::access::Principal;
use crate::fleet::apply::{ApplyWish, FolderClaim, MAX_DELETES};
use crate::fleet::{Error, Problem, Result};

/// Who has made what the folder changes, as activities name it.
const AUTHOR: &str = "documents folder";

/// Most reasons that are kept, and most characters of each.
const MAX_REASONS: usize = 10;
const MAX_REASON: usize = 500;

/// Most deletions that a reason names.
const NAMED: usize = 20;

/// Letters of the word that allows deletions, and of a commit.
const WORD: usize = 12;

/// What came of a look.
pub(super) enum Came {
    /// The server is as the folder says.
    Applied(InForce),
    /// It goes on by itself.
    Waits(String),
    /// Nothing may be changed now; else there is nothing wrong.
    Closed(String),
    Problem(Vec<String>),
}

impl Came {
    pub fn problem(reason: String) -> Self {
        Self::problems(vec![reason])
    }

    fn problems(mut reasons: Vec<String>) -> Self {
        let more = reasons.len().saturating_sub(MAX_REASONS);
        reasons.truncate(MAX_REASONS);
        for reason in &mut reasons {
            if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
                reason.truncate(end);
                reason.push('…');
            }
        }
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        Self::Problem(reasons)
    }
}

impl DocumentsFolder {
    /// Applies contents that have settled, if there is reason to.
    pub(super) async fn attempt(
        &self,
        contents: FolderContents,
        stored: Option<Value>,
        state: &FolderState,
        memory: &mut Memory,
    ) -> Result<Came> {
        let now = self.parts.clock.now();
        let (seen, is_applied) = (contents.seen.clone(), state.is_applied(&contents.seen));
        if let Some(applied) = state.applied.as_ref().filter(|_| !is_applied)
            && memory.caught_up_with != Some(applied.sequence)
            && seen.changed_at.0 <= applied.changed_at
        {
            return Ok(Came::problem(behind(&seen, applied)));
        }
        if !contents.problems.is_empty() {
            return Ok(Came::problems(contents.problems.iter().map(|problem| problem.in_one_line()).collect()));
        }
        let generation = self.parts.schedule.plan().generation;
        if let (true, Some(applied)) = (is_applied, &state.applied)
            && applied.commit == seen.commit
            && memory.compared.is_some_and(|compared| compared.is_good(applied.sequence, generation, now))
        {
            return Ok(Came::Applied(applied.clone()));
        }
        if let Some(why) = self.parts.access.waits_for() {
            return Ok(Came::Closed(why));
        }
        let prepare = move || ToApply { documents: contents.documents.to_json(), contents };
        let to_apply = tokio::task::spawn_blocking(prepare).await.map_err(|error| Error::Internal(Box::new(error)))?;
        let next = next(state.applied.as_ref(), &to_apply, now.0);
        let came = self.apply(to_apply, stored, &next, is_applied).await?;
        let generation = self.parts.schedule.plan().generation;
        memory.compared =
            matches!(came, Came::Applied(_)).then_some(Compared { sequence: next.sequence, generation, at: now });
        if let Came::Applied(applied) = &came {
            memory.caught_up_with = Some(applied.sequence);
        }
        Ok(came)
    }

    async fn apply(
        &self,
        ToApply { contents, documents }: ToApply,
        stored: Option<Value>,
        next: &InForce,
        is_applied: bool,
    ) -> Result<Came> {
        let mut principal = Principal::program(AUTHOR, self.parts.clock.now());
        AUTHOR.clone_into(&mut principal.user.email);
        let after = FolderState { applied: Some(next.clone()), ..FolderState::default() };
        let after = serde_json::to_value(after).map_err(|error| Error::Internal(Box::new(error)))?;
        let mut details = Map::from_iter([("folder".to_owned(), Value::from(self.notice.folder()))]);
        details.extend(next.commit.clone().map(|commit| ("commit".to_owned(), commit.into())));
        if is_applied {
            details.insert("restored".to_owned(), true.into());
        }
        let claim = || FolderClaim { before: stored.clone(), after: after.clone(), details: details.clone() };
        let wish = |dry_run, max_deletes| ApplyWish { dry_run, max_deletes, ..ApplyWish::default() };
        let applier = &self.parts.applier;
        let most = Some(self.config.max_deletes);
        let mut outcome = applier.apply_folder(&principal, documents, claim(), wish(false, most)).await;
        if let Err(Error::Invalid(problems)) = &outcome
            && problems.iter().any(|problem| problem.path == MAX_DELETES)
        {
            let again = || contents.documents.to_json();
            let tried = applier.apply_folder(&principal, again(), claim(), wish(true, None)).await;
            outcome = match tried {
                Ok(tried) => {
                    let deleted = deleted(&tried.changes);
                    let word = word_for(&deleted);
                    if !contents.allowed_deletions.contains(&word) {
                        return Ok(Came::problem(self.too_many(&deleted, &word)));
                    }
                    let most = Some(deleted.len() as u64);
                    applier.apply_folder(&principal, again(), claim(), wish(false, most)).await
                }
                Err(error) => Err(error),
            };
        }
        match outcome {
            Ok(applied) => {
                self.log(&applied.changes, applied.warnings.len(), &contents, next, is_applied);
                Ok(Came::Applied(next.clone()))
            }
            Err(Error::Invalid(problems)) => Ok(Came::problems(placed(&contents, &problems))),
            Err(Error::ChangedMeanwhile(_)) => Ok(Came::Waits("another server that was faster".to_owned())),
            Err(error) => Err(error),
        }
    }

    fn too_many(&self, deleted: &[String], word: &str) -> String {
        let named = deleted.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match deleted.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            "{} objects would be deleted, because no file names them, and documents.max_deletes is {}: nothing is applied. To delete just \
             these, put the line {word} into the file {DELETIONS} of the folder: {named}{more}",
            deleted.len(),
            self.config.max_deletes
        )
    }

    fn log(&self, changes: &[Change], warnings: usize, contents: &FolderContents, next: &InForce, is_applied: bool) {
        let count = |action| changes.iter().filter(|change| change.action == action).count();
        let [created, changed, deleted] = [Action::Created, Action::Changed, Action::Deleted].map(count);
        let (folder, commit) = (self.notice.folder(), next.commit.as_deref());
        if is_applied && created + changed + deleted == 0 {
            return;
        }
        if !contents.unused.is_empty() {
            let unused = contents.unused.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                folder,
                unused,
                "files of the documents folder are no documents, and no file refers to them"
            );
        }
        if is_applied {
            tracing::warn!(
                folder,
                commit,
                created,
                changed,
                deleted,
                "something else has changed what hosts run; it is as the documents folder says again"
            );
        } else {
            tracing::info!(folder, commit, created, changed, deleted, warnings, "the documents folder was applied");
        }
    }
}

impl Compared {
    fn is_good(self, sequence: u64, generation: i64, now: crate::clock::Moment) -> bool {
        self.sequence == sequence && self.generation == generation && now.since(self.at) < COMPARED_EVERY
    }
}

fn next(before: Option<&InForce>, ToApply { contents, documents }: &ToApply, now: i64) -> InForce {
    let SeenContents { digest, commit, changed_at } = contents.seen.clone();
    let same = before.filter(|before| before.digest == digest);
    InForce {
        digest,
        commit,
        applied_at: same.map_or(now, |same| same.applied_at),
        changed_at: before.map_or(changed_at.0, |before| before.changed_at.max(changed_at.0)),
        sequence: same.map_or_else(|| before.map_or(1, |before| before.sequence + 1), |same| same.sequence),
        names_secrets: documents.iter().any(|document| document["kind"] == "enroll_secret"),
    }
}

fn behind(seen: &SeenContents, applied: &InForce) -> String {
    let which = |commit: &Option<String>, digest: &str| match commit {
        Some(commit) => format!("commit {}", commit.get(..WORD).unwrap_or(commit)),
        None => format!("contents {}", digest.get(..WORD).unwrap_or(digest)),
    };
    format!(
        "the server that leads now has {} in its folder, which is not what was applied last ({}) and came there no later: bring its folder \
         up to date; or, if that is what hosts are to run, touch one of its files",
        which(&seen.commit, &seen.digest),
        which(&applied.commit, &applied.digest)
    )
}

/// The objects that are deleted, sorted.
fn deleted(changes: &[Change]) -> Vec<String> {
    let deleted = changes.iter().filter(|change| change.action == Action::Deleted);
    let mut deleted: Vec<String> = deleted
        .map(|Change { kind, name, .. }| if name.is_empty() { kind.clone() } else { format!("{kind} {name:?}") })
        .collect();
    deleted.sort();
    deleted
}

/// The word that allows these deletions and no others.
fn word_for(deleted: &[String]) -> String {
    let hash = Sha256::digest(deleted.join("\n"));
    hash.iter().take(WORD / 2).fold(String::new(), |mut word, byte| {
        let _ = write!(word, "{byte:02x}");
        word
    })
}

/// Problems with their files and lines.
fn placed(contents: &FolderContents, problems: &[Problem]) -> Vec<String> {
    let problems: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), problem.reason.as_str())).collect();
    contents.documents.problems(&problems).iter().map(|problem| problem.in_one_line()).collect()
}
