//! Users as administrators manage them, and one's own password.

use std::sync::Arc;

use muster_api::rest::{ChangePassword, NewUser, Role, User, UserEdit};
use muster_api::spec::{UserRoleSpec, UserRolesSpec};
use sea_orm::{ActiveModelTrait as _, ConnectionTrait, IntoActiveModel as _, Set, TryIntoModel as _};
use serde_json::{Value, json};

use super::change_gate::AttemptKind;
use super::user_rules::{check_absent, check_email, check_name, check_role, name_of};
use super::{Access, Permission, Principal, new_user, normal_email, password, role_of, role_word, show};
use crate::fleet::error::none_of;
use crate::fleet::listing::{Listing, listed};
use crate::fleet::names::has_part;
use crate::fleet::resource::{self, Made, Resource};
use crate::fleet::{Error, Fleet, Result};
use crate::store::{self, Tx, activities, entity::users};

/// The word for a user in errors.
const KIND: &str = "User";

/// Users as administrators manage them.
#[derive(Debug)]
pub struct Users {
    access: Arc<Access>,
}

listed!(
    users::Model,
    fn has(&self, text: &str) -> bool {
        has_part(&self.name, text) || has_part(&self.email, text)
    }
);

impl Resource for Users {
    type View = User;
    type New = NewUser;
    type Edit = UserEdit;

    fn of(fleet: &Fleet) -> Self {
        Self { access: Arc::clone(&fleet.access) }
    }

    async fn list(&self, principal: &Principal, listing: &Listing) -> Result<Vec<User>> {
        principal.may(Permission::ManageUsers)?;
        let rows = store::users::all(self.access.store.reader()).await?;
        Ok(listing.page(rows).iter().map(show).collect())
    }

    async fn by_id(&self, principal: &Principal, id: i64) -> Result<User> {
        principal.may(Permission::ManageUsers)?;
        Ok(show(&find(self.access.store.reader(), id).await?))
    }

    async fn create(&self, principal: &Principal, request: &NewUser) -> Result<Made<User>> {
        principal.may_change(Permission::ManageUsers)?;
        let mut problems = Vec::new();
        let password = request.password.clone().unwrap_or_default();
        check_email("email", &request.email, &mut problems);
        check_name("name", &request.name, &mut problems);
        check_name("username", request.username.as_deref().unwrap_or_default(), &mut problems);
        password::check("password", &password, &mut problems);
        let role = check_role(request.global_role, request.admin, &mut problems);
        let teams = request.teams.as_deref();
        check_absent(request.sso_enabled, teams, &mut problems);
        none_of(problems)?;
        let name = name_of(&request.name, request.username.as_deref(), &request.email);
        let hash = self.access.passwords.hash(password).await?;
        let now = self.access.clock.now();
        let row = users::ActiveModel { api_only: Set(request.api_only), ..new_user(&request.email, name, role, now) };
        let user = self
            .access
            .store
            .write_with(async |tx| -> Result<_> {
                check_free(tx, &request.email, None).await?;
                let id = store::users::insert(tx, row.clone(), hash.clone()).await?;
                let user = find(tx, id).await?;
                activities::add(tx, now, &principal.actor(), "created_user", &activity_details(&user)).await?;
                Ok(user)
            })
            .await?;
        Ok(show(&user).into())
    }

    /// A new password ends the user's sessions, except the session of this request.
    async fn edit(&self, principal: &Principal, id: i64, edit: &UserEdit) -> Result<Made<User>> {
        principal.may_change(Permission::ManageUsers)?;
        let mut problems = Vec::new();
        let new_password = edit.new_password.as_ref().or(edit.password.as_ref());
        if let Some(email) = &edit.email {
            check_email("email", email, &mut problems);
        }
        if let Some(name) = &edit.name {
            check_name("name", name, &mut problems);
        }
        if let Some(password) = new_password {
            let path = if edit.new_password.is_some() { "new_password" } else { "password" };
            password::check(path, password, &mut problems);
        }
        check_absent(edit.sso_enabled.unwrap_or(false), edit.teams.as_deref(), &mut problems);
        none_of(problems)?;
        let hash = match new_password {
            Some(password) => Some(self.access.passwords.hash(password.clone()).await?),
            None => None,
        };
        let now = self.access.clock.now();
        let user = self
            .access
            .store
            .write_with(async |tx| -> Result<_> {
                let old = to_change(tx, id).await?;
                let mut row = old.clone().into_active_model();
                row.email.set_if_not_equals(edit.email.as_ref().map_or(old.email, |email| normal_email(email)));
                row.name.set_if_not_equals(edit.name.clone().unwrap_or(old.name));
                row.global_role.set_if_not_equals(edit.global_role.map_or(old.global_role, role_word));
                row.api_only.set_if_not_equals(edit.api_only.unwrap_or(old.api_only));
                if !row.is_changed() && hash.is_none() {
                    return Ok(row.try_into_model().map_err(store::Error::from)?);
                }
                if let Set(email) = &row.email {
                    check_free(tx, email, Some(id)).await?;
                }
                let is_new_role = row.global_role.is_set();
                row.updated_at = Set(now);
                let new = store::users::update(tx, row).await?;
                if is_new_role {
                    check_an_admin_is_left(tx, "global_role").await?;
                }
                if let Some(hash) = &hash {
                    store::users::set_password(tx, id, hash.clone()).await?;
                    store::users::end_sessions(tx, id, Some(principal.token_hash)).await?;
                }
                activities::add(tx, now, &principal.actor(), "edited_user", &activity_details(&new)).await?;
                Ok(new)
            })
            .await?;
        Ok(show(&user).into())
    }

    /// Ends the user's sessions. The last administrator cannot be deleted.
    async fn delete(&self, principal: &Principal, id: i64) -> Result<()> {
        principal.may_change(Permission::ManageUsers)?;
        let now = self.access.clock.now();
        self.access
            .store
            .write_with(async |tx| -> Result<()> {
                let user = to_change(tx, id).await?;
                store::users::delete(tx, id).await?;
                check_an_admin_is_left(tx, "user").await?;
                activities::add(tx, now, &principal.actor(), "deleted_user", &activity_details(&user)).await?;
                Ok(())
            })
            .await?;
        self.access.remembered.forget_user(id);
        Ok(())
    }
}

impl Access {
    /// The roles of all users, as a document.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to manage users.
    pub async fn roles(&self, principal: &Principal) -> Result<UserRolesSpec> {
        principal.may(Permission::ManageUsers)?;
        let rows = store::users::all(self.store.reader()).await?;
        let entry = |user: users::Model| {
            let role = role_of(&user)?;
            Some((user.email, UserRoleSpec { global_role: Some(role), teams: Vec::new() }))
        };
        Ok(UserRolesSpec { roles: rows.into_iter().filter_map(entry).collect() })
    }

    /// Changes the caller's own password and ends the caller's other sessions.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the old password is wrong or the new one is weak, [`Error::TooMany`] if
    /// the user has shown the old one too often; log-ins do not count.
    pub async fn change_password(&self, principal: &Principal, request: &ChangePassword) -> Result<()> {
        principal.passes_as("change_password", AttemptKind::Change)?;
        let id = principal.user.id;
        self.attempts.own_password(id, self.clock.now()).map_err(|retry_after| self.too_many(retry_after))?;
        let old_hash = store::users::password_hash(self.store.reader(), id).await?;
        let is_wrong = || Error::invalid("old_password", "old password does not match");
        if !self.passwords.verify(request.old_password.clone(), old_hash.clone()).await? {
            return Err(is_wrong());
        }
        let mut problems = Vec::new();
        password::check("new_password", &request.new_password, &mut problems);
        none_of(problems)?;
        let hash = self.passwords.hash(request.new_password.clone()).await?;
        let now = self.clock.now();
        self.store
            .write_with(async |tx| -> Result<()> {
                to_change(tx, id).await?;
                // Another password may have been set since the old one was checked.
                if store::users::password_hash(tx, id).await? != old_hash {
                    return Err(is_wrong());
                }
                store::users::set_password(tx, id, hash.clone()).await?;
                store::users::end_sessions(tx, id, Some(principal.token_hash)).await?;
                activities::add(tx, now, &principal.actor(), "changed_password", &json!({})).await?;
                Ok(())
            })
            .await?;
        self.remembered.forget_user(id);
        Ok(())
    }
}

/// Whether there is an administrator.
pub(in crate::fleet) async fn is_an_admin_left(db: &impl ConnectionTrait) -> Result<bool> {
    Ok(store::users::count_with_role(db, role_word(Role::Admin)).await? > 0)
}

async fn check_an_admin_is_left(db: &impl ConnectionTrait, path: &str) -> Result<()> {
    if is_an_admin_left(db).await? {
        return Ok(());
    }
    Err(Error::invalid(path, "nobody would be an administrator any more; make another user one first"))
}

async fn find(db: &impl ConnectionTrait, id: i64) -> Result<users::Model> {
    store::users::by_id(db, id).await?.ok_or_else(|| Error::no_such(KIND, id))
}

async fn to_change(tx: &Tx, id: i64) -> Result<users::Model> {
    store::users::to_change(tx, id).await?.ok_or_else(|| Error::no_such(KIND, id))
}

/// Refuses an address that another user has.
async fn check_free(db: &impl ConnectionTrait, email: &str, own_id: Option<i64>) -> Result<()> {
    let email = normal_email(email);
    resource::check_free(KIND, &email, store::users::by_email(db, &email).await?, own_id)
}

/// The details of an activity about a user.
pub(super) fn activity_details(user: &users::Model) -> Value {
    json!({ "user_id": user.id, "user_name": user.name, "user_email": user.email, "global_role": user.global_role.as_str() })
}
