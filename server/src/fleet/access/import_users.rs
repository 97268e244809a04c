//! Users that come from another server. Their passwords do not: each must be given one.

use muster_api::rest::Role;

use super::manage_users::activity_details;
use super::user_rules::{check_email, check_name};
use super::{Access, Principal, new_user, normal_email, password, role_of};
use crate::fleet::{Error, Problem, Result};
use crate::store::{self, WriteError, activities, users};

/// A user to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) struct ImportedUser {
    pub email: String,
    pub name: String,
    pub role: Role,
    pub api_only: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) enum UserOutcome {
    /// Nobody can sign in as it until it is given a password.
    Created,
    /// There is a user with this address, who stays as it is; with its role.
    There(Option<Role>),
    Refused(Vec<Problem>),
}

/// Why the transaction is not committed.
enum Stopped {
    Failed(Error),
    DryRun(Vec<UserOutcome>),
}

impl From<store::Error> for Stopped {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl WriteError for Stopped {}

impl Access {
    /// Whether somebody can sign in as an administrator.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(in crate::fleet) async fn has_an_administrator(&self) -> Result<bool> {
        self.store.write_with(async |tx| super::is_an_admin_left(tx).await).await
    }

    /// Adds users who are not there yet, with a hash that no password has, or tells what that would do.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(in crate::fleet) async fn import_users(
        &self,
        principal: &Principal,
        wanted: &[ImportedUser],
        dry_run: bool,
    ) -> Result<Vec<UserOutcome>> {
        let now = self.clock.now();
        let written = self
            .store
            .write_with(async |tx| -> std::result::Result<_, Stopped> {
                let mut outcomes = Vec::with_capacity(wanted.len());
                for user in wanted {
                    let mut problems = Vec::new();
                    check_email("email", &user.email, &mut problems);
                    check_name("name", &user.name, &mut problems);
                    if !problems.is_empty() {
                        outcomes.push(UserOutcome::Refused(problems));
                        continue;
                    }
                    if let Some(there) = users::by_email(tx, &normal_email(&user.email)).await? {
                        outcomes.push(UserOutcome::There(role_of(&there)));
                        continue;
                    }
                    let name = if user.name.is_empty() { user.email.trim() } else { &user.name };
                    let mut row = new_user(&user.email, name, user.role, now);
                    row.api_only = sea_orm::Set(user.api_only);
                    let id = users::insert(tx, row, password::NOBODY.to_owned()).await?;
                    if let Some(made) = users::by_id(tx, id).await? {
                        let details = activity_details(&made);
                        activities::add(tx, now, &principal.actor(), "created_user", &details).await?;
                    }
                    outcomes.push(UserOutcome::Created);
                }
                if dry_run { Err(Stopped::DryRun(outcomes)) } else { Ok(outcomes) }
            })
            .await;
        match written {
            Ok(outcomes) | Err(Stopped::DryRun(outcomes)) => Ok(outcomes),
            Err(Stopped::Failed(error)) => Err(error),
        }
    }
}
