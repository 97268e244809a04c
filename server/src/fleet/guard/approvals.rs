//! A second person, for SQL that a rule lets through only then.
//!
//! What is approved is a text for one use, asked by one user, with all that the guard says of it: its mark is a hash of these. So a view
//! that reads something else by now needs a new approval, and so does anybody else. An approval counts for a day from when it
//! was asked for, so that nothing is left open behind people.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use muster_api::rest::{Approval, ApprovalState};
use muster_sql::Effect;
use sea_orm::{NotSet, Set};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::decisions::Judged;
use super::{GuardedSql, TableGuard, text_of, use_word};
use crate::clock::Moment;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store::entity::guard_approvals::{ActiveModel, ApprovalWord, Model};
use crate::store::{activities, guard_approvals};

/// Time for which a request counts, approved or not.
const LASTS: Duration = Duration::from_secs(24 * 3600);

/// Time for which those that are over are kept.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Most texts of one change that wait for a second person.
pub(super) const MAX_AT_ONCE: usize = 200;

/// Most requests of a user that are open.
const MAX_OPEN: u64 = 200;

/// Most requests of a list.
const LISTED: u64 = 1_000;

/// Bytes of SQL after which a list ends: nobody decides more at one time.
const LISTED_BYTES: usize = 8 << 20;

/// Most rows that are removed in one transaction.
const REMOVED_AT_ONCE: u64 = 200;

/// Letters of a mark that are shown, and least letters that name one.
const KEY: usize = 12;
const SHORTEST_KEY: usize = 8;

/// A request that is to be made.
#[derive(Debug, Clone)]
pub(in crate::fleet) struct NewApproval {
    pub mark: String,
    sql_use: &'static str,
    sql: String,
    findings: Vec<String>,
    /// Names of the rules that are about it.
    rules: BTreeSet<String>,
}

impl NewApproval {
    /// What `principal` asks to be approved; `None` for what needs nobody, or is refused anyway.
    pub(super) fn of(principal: &Principal, judged: &Judged, asked: &GuardedSql) -> Option<Self> {
        if judged.effect != Effect::NeedsApproval {
            return None;
        }
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(&principal.user.id.to_le_bytes());
        part(use_word(asked.sql_use).as_bytes());
        part(asked.sql.as_bytes());
        asked.labels.iter().flatten().for_each(|label| part(label.as_bytes()));
        part(if asked.labels.is_some() { &b"these"[..] } else { &b"all"[..] });
        for finding in &judged.findings {
            part(finding.rule.as_deref().unwrap_or_default().as_bytes());
            part(finding.text.as_bytes());
        }
        let mark = hash.finalize().iter().fold(String::new(), |mut mark, byte| {
            let _ = write!(mark, "{byte:02x}");
            mark
        });
        let findings = judged.findings.iter().map(|finding| text_of(finding, &asked.about)).collect();
        let rules = judged.findings.iter().filter_map(|finding| finding.rule.clone()).collect();
        Some(Self { mark, sql_use: use_word(asked.sql_use), sql: asked.sql.clone(), findings, rules })
    }

    /// What names it.
    pub(super) fn key(&self) -> &str {
        key(&self.mark)
    }

    fn row(&self, principal: &Principal, now: Moment) -> ActiveModel {
        ActiveModel {
            id: NotSet,
            mark: Set(self.mark.clone()),
            sql_use: Set(self.sql_use.to_owned()),
            asked_by_id: Set(principal.user.id),
            asked_by: Set(principal.user.email.clone()),
            asked_at: Set(now),
            expires_at: Set(now.plus(LASTS)),
            state: Set(ApprovalWord::Open),
            decided_by: Set(None),
            decided_at: Set(Moment::NEVER),
            findings: Set(json!(self.findings).to_string()),
            rules: Set(Some(json!(self.rules).to_string())),
            query: Set(self.sql.clone()),
        }
    }
}

fn key(mark: &str) -> &str {
    mark.get(..KEY).unwrap_or(mark)
}

impl TableGuard {
    /// What has become of these requests, by their marks.
    pub(super) async fn decided_approvals(&self, asked: &[NewApproval]) -> Result<HashMap<String, Model>> {
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let marks: Vec<String> = asked.iter().map(|asked| asked.mark.clone()).collect();
        let mut decided = HashMap::new();
        for marks in marks.chunks(MAX_AT_ONCE) {
            let rows = guard_approvals::by_marks(self.store.reader(), marks, self.clock.now()).await?;
            decided.extend(rows.into_iter().map(|row| (row.mark.clone(), row)));
        }
        Ok(decided)
    }

    /// Makes requests that are not there yet, each with an activity, as long as there is room.
    ///
    /// # Errors
    /// [`Error::Invalid`] when so many of the user are open that none can be made.
    pub(in crate::fleet) async fn ask_for_approval(&self, principal: &Principal, asked: &[NewApproval]) -> Result<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.store
            .write_with(async |tx| -> Result<()> {
                let before = guard_approvals::open_of(tx, principal.user.id, now).await?;
                let mut open = before;
                for new in asked {
                    if open >= MAX_OPEN {
                        self.metrics.limit_hit("guard_open_approvals");
                        if open > before {
                            break;
                        }
                        let reason = format!(
                            "{MAX_OPEN} of your requests wait for a second person; ask again when some are decided"
                        );
                        return Err(Error::invalid("query", reason));
                    }
                    if guard_approvals::add(tx, new.row(principal, now), &new.mark, now).await? {
                        open += 1;
                        let details = json!({
                            "approval": new.key(), "use": new.sql_use, "query_sql": new.sql, "findings": new.findings,
                        });
                        activities::add(tx, now, &principal.actor(), "asked_for_approval", &details).await?;
                    }
                }
                Ok(())
            })
            .await
    }

    /// Requests that still count, newest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not decide.
    pub async fn approvals(&self, principal: &Principal) -> Result<Vec<Approval>> {
        principal.may(Permission::RunLiveQueries)?;
        let rows = guard_approvals::latest(self.store.reader(), self.clock.now(), LISTED).await?;
        let mut bytes = 0;
        let within = |row: &Model| {
            bytes += row.query.len();
            bytes <= LISTED_BYTES
        };
        Ok(rows.into_iter().take_while(within).map(show).collect())
    }

    /// Grants or denies a request of somebody else. Doing the same twice does no harm.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when it is over; [`Error::Invalid`] for one's own request and for one that was decided otherwise;
    /// [`Error::Forbidden`] to users who may not decide.
    pub async fn decide_approval(&self, principal: &Principal, wanted: &str, is_granted: bool) -> Result<Approval> {
        principal.may_approve()?;
        let wanted = wanted.to_ascii_lowercase();
        let missing = || Error::NotFound { kind: "Approval", key: wanted.clone() };
        if wanted.len() < SHORTEST_KEY || !wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let now = self.clock.now();
        let state = if is_granted { ApprovalWord::Granted } else { ApprovalWord::Denied };
        let row = self.store.write_with(async |tx| -> Result<Model> {
            let mut found = guard_approvals::beginning(tx, &wanted, now).await?;
            let row = found.pop().ok_or_else(missing)?;
            if !found.is_empty() {
                return Err(Error::invalid("key", "several requests begin so; write more of its letters"));
            }
            if row.asked_by_id == principal.user.id {
                return Err(Error::invalid("key", "it is your own request: another maintainer or admin decides on it"));
            }
            if row.state == state {
                return Ok(row);
            }
            if row.state != ApprovalWord::Open {
                let by = row.decided_by.as_deref().unwrap_or_default();
                return Err(Error::invalid("key", format!("{by} has decided on it already: it is {}", row.state)));
            }
            let by = &principal.user.email;
            guard_approvals::decide(tx, row.id, state.clone(), by, now).await?;
            let kind = if is_granted { "granted_approval" } else { "denied_approval" };
            let details = json!({ "approval": key(&row.mark), "asked_by": row.asked_by, "query_sql": row.query });
            activities::add(tx, now, &principal.actor(), kind, &details).await?;
            Ok(Model { state: state.clone(), decided_by: Some(by.clone()), decided_at: now, ..row })
        });
        Ok(show(row.await?))
    }

    /// Removes requests that are over for long.
    ///
    /// # Errors
    /// When the database does not answer; the next call goes on.
    pub async fn forget_old_approvals(&self) -> Result<()> {
        let before = self.clock.now().minus(KEPT_FOR);
        self.store.write(async |tx| guard_approvals::prune(tx, before, REMOVED_AT_ONCE).await).await?;
        Ok(())
    }
}

fn show(row: Model) -> Approval {
    let state = match row.state {
        ApprovalWord::Granted => ApprovalState::Granted,
        ApprovalWord::Denied => ApprovalState::Denied,
        // What a newer version has written is no approval.
        ApprovalWord::Open | ApprovalWord::Unknown(_) => ApprovalState::Open,
    };
    let is_decided = state != ApprovalState::Open;
    Approval {
        key: key(&row.mark).to_owned(),
        query: row.query,
        sql_use: row.sql_use,
        findings: serde_json::from_str(&row.findings).unwrap_or_default(),
        rules: row.rules.as_deref().and_then(|rules| serde_json::from_str(rules).ok()).unwrap_or_default(),
        asked_by: row.asked_by,
        asked_at: row.asked_at.to_utc(),
        expires_at: row.expires_at.to_utc(),
        state,
        decided_by: row.decided_by.filter(|_| is_decided),
        decided_at: is_decided.then(|| row.decided_at.to_utc()),
    }
}
