//! The secrets that agents enroll with, one at a time. Documents replace all of them at once.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::access::{Permission, Principal, random_text};
use super::changes::Changes;
use super::error::none_of;
use super::names::check_short;
use super::{Error, Fleet, Problem, Result};
use crate::clock::Moment;
use crate::store;
use crate::store::entity::enroll_secrets::Model as Secret;
use crate::store::secrets::SecretTerms;

/// The word for a secret in errors.
const KIND: &str = "Enroll secret";

/// Characters of a secret, as the column is.
const MAX_SECRET: usize = 255;

/// Random bytes of a secret that the server makes.
const SECRET_BYTES: usize = 24;

/// A secret, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSecret {
    pub id: i64,
    /// The name by which hosts are shown with it.
    pub name: String,
    pub created_at: DateTime<Utc>,
    /// From then on no host may enroll with it.
    pub expires_at: Option<DateTime<Utc>>,
    /// Most hosts that may enroll with it.
    pub quota: Option<u64>,
    /// Hosts that have enrolled with it, counted while it has a quota.
    pub hosts_enrolled: u64,
    /// As of half a minute ago at worst.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Only in [`EnrollSecrets::revealed`].
    pub secret: Option<String>,
}

impl ListedSecret {
    /// Whether a host may enroll with it at a time.
    pub fn admits(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| end > now) && self.quota.is_none_or(|quota| self.hosts_enrolled < quota)
    }
}

/// A secret that is to be added.
#[derive(Debug, Clone, Default)]
pub struct NewSecret {
    pub name: String,
    /// Empty to have one made.
    pub secret: String,
    pub expires_at: Option<DateTime<Utc>>,
    /// Most hosts that may enroll with it.
    pub quota: Option<u32>,
}

/// Reads and changes the secrets that agents enroll with.
#[derive(Debug, Clone)]
pub struct EnrollSecrets {
    changes: Changes,
}

impl EnrollSecrets {
    pub fn of(fleet: &Fleet) -> Self {
        Self { changes: fleet.changes.clone() }
    }

    /// All secrets by age, without what they are.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read enroll secrets.
    pub async fn list(&self, principal: &Principal) -> Result<Vec<ListedSecret>> {
        let mut secrets = self.revealed(principal).await?;
        secrets.iter_mut().for_each(|secret| secret.secret = None);
        Ok(secrets)
    }

    /// All secrets by age.
    ///
    /// # Errors
    /// As for [`EnrollSecrets::list`].
    pub async fn revealed(&self, principal: &Principal) -> Result<Vec<ListedSecret>> {
        principal.may(Permission::ReadSecrets)?;
        let show = |row: Secret| ListedSecret {
            id: row.id,
            name: super::specs::secret_name(row.id, &row.name),
            created_at: row.created_at.to_utc(),
            expires_at: row.expires_at.map(Moment::to_utc),
            quota: row.quota.map(|quota| u64::try_from(quota).unwrap_or(0)),
            hosts_enrolled: u64::try_from(row.hosts_enrolled).unwrap_or(0),
            last_used_at: row.last_used_at.map(Moment::to_utc),
            secret: Some(row.secret),
        };
        Ok(store::secrets::all(self.changes.reader()).await?.into_iter().map(show).collect())
    }

    /// Adds a secret.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the paths `name`, `secret`, `expires_at` and `quota`; [`Error::Forbidden`] to users who may not change secrets.
    pub async fn add(&self, principal: &Principal, new: NewSecret) -> Result<()> {
        principal.may_change(Permission::WriteSecrets)?;
        let NewSecret { name, secret, expires_at, quota } = new;
        let secret = if secret.is_empty() { random_text(SECRET_BYTES) } else { secret };
        let expires_at = expires_at.map(|end| Moment(end.timestamp_micros()));
        let mut problems = Vec::new();
        if name.is_empty() {
            problems.push(Problem::new("name", "cannot be empty: hosts are shown with the name of their secret"));
        }
        check_short("name", &name, &mut problems);
        check_text("secret", &secret, &mut problems);
        if quota == Some(0) {
            problems.push(Problem::new("quota", "expects at least 1"));
        }
        none_of(problems)?;
        self.changes
            .make(principal, false, async |draft| {
                if expires_at.is_some_and(|end| end <= draft.now) {
                    return Err(Error::invalid("expires_at", "lies in the past"));
                }
                let others = store::secrets::all(draft.tx).await?;
                let taken = |is_same: &dyn Fn(&Secret) -> bool| others.iter().any(is_same);
                if taken(&|other| super::specs::secret_name(other.id, &other.name) == name) {
                    return Err(Error::invalid("name", "is the name of another secret; give each its own"));
                }
                if taken(&|other| other.secret == secret) {
                    return Err(Error::invalid("secret", "is there already"));
                }
                let terms = SecretTerms { name: name.clone(), expires_at, quota: quota.map(i64::from) };
                store::secrets::insert(draft.tx, &secret, terms, draft.now).await?;
                draft.record("added_enroll_secret", json!({ "secret_name": name }));
                Ok(())
            })
            .await
    }

    /// Removes a secret. Hosts that have enrolled with it stay enrolled.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] to users who may not change secrets.
    pub async fn remove(&self, principal: &Principal, id: i64) -> Result<()> {
        principal.may_change(Permission::WriteSecrets)?;
        self.changes
            .make(principal, false, async |draft| {
                let found = store::secrets::all(draft.tx).await?.into_iter().find(|secret| secret.id == id);
                let found = found.ok_or_else(|| Error::no_such(KIND, id))?;
                store::secrets::delete(draft.tx, vec![id]).await?;
                let name = super::specs::secret_name(id, &found.name);
                draft.record("removed_enroll_secret", json!({ "secret_name": name }));
                Ok(())
            })
            .await
    }
}

/// Adds a problem if agents could not send this text as they read it.
pub(super) fn check_text(path: &str, text: &str, problems: &mut Vec<Problem>) {
    if text.is_empty() || text.chars().count() > MAX_SECRET {
        problems.push(Problem::new(path, format!("expects 1 to {MAX_SECRET} characters")));
    } else if text.trim() != text {
        problems.push(Problem::new(path, "begins or ends with white space, which agents cut off; remove it"));
    }
}
