//! The secrets that agents enroll with, one at a time. Documents replace all of them at once.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::access::{Permission, Principal, random_text};
use super::changes::Changes;
use super::error::none_of;
use super::names::check_short;
use super::{Error, Fleet, Problem, Result};
use crate::store;
use crate::store::entity::enroll_secrets::Model as Secret;

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
    /// Only in [`EnrollSecrets::revealed`].
    pub secret: Option<String>,
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
            secret: Some(row.secret),
        };
        Ok(store::secrets::all(self.changes.reader()).await?.into_iter().map(show).collect())
    }

    /// Adds a secret; without a text, one is made.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the paths `name` and `secret`; [`Error::Forbidden`] to users who may not change secrets.
    pub async fn add(&self, principal: &Principal, name: &str, secret: &str) -> Result<()> {
        principal.may_change(Permission::WriteSecrets)?;
        let secret = if secret.is_empty() { random_text(SECRET_BYTES) } else { secret.to_owned() };
        let mut problems = Vec::new();
        if name.is_empty() {
            problems.push(Problem::new("name", "cannot be empty: hosts are shown with the name of their secret"));
        }
        check_short("name", name, &mut problems);
        check_text("secret", &secret, &mut problems);
        none_of(problems)?;
        self.changes
            .make(principal, false, async |draft| {
                let others = store::secrets::all(draft.tx).await?;
                let taken = |is_same: &dyn Fn(&Secret) -> bool| others.iter().any(is_same);
                if taken(&|other| super::specs::secret_name(other.id, &other.name) == name) {
                    return Err(Error::invalid("name", "is the name of another secret; give each its own"));
                }
                if taken(&|other| other.secret == secret) {
                    return Err(Error::invalid("secret", "is there already"));
                }
                store::secrets::insert(draft.tx, &secret, name, draft.now).await?;
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
