use std::collections::BTreeMap;

use muster_api::rest::{Action, Role};
use sea_orm::{Set, Unchanged};

use super::{ApplyRun, Located, of_kind};
use crate::fleet::access::{is_an_admin_left, normal_email, role_of, role_word};
use crate::fleet::{Result, path};
use crate::store::{
    self,
    entity::{self, users},
};

impl ApplyRun<'_> {
    pub(super) async fn user_roles(&mut self, documents: &[Located]) -> Result<()> {
        for (document, spec) in of_kind!(documents, UserRoles) {
            let mut users: BTreeMap<String, (users::Model, Role)> = BTreeMap::new();
            // Where an administrator is about to become something else.
            let mut demotion = None;
            for (email, role) in &spec.roles {
                let path = path::member(&document.path("roles"), email);
                if !role.teams.is_empty() {
                    let at = path::member(&path, "teams");
                    self.warn(at, "skipped: there are no teams here; give everyone a global_role");
                    if role.global_role.is_none() {
                        continue;
                    }
                }
                let Some(user) = store::users::by_email_to_change(self.tx, &normal_email(email)).await? else {
                    self.problem(path, format!("there is no user {email:?}; make one with `fleetctl user create`"));
                    continue;
                };
                let Some(wanted) = role.global_role else {
                    let reason = "a user must be observer, maintainer or admin";
                    self.problem(path::member(&path, "global_role"), reason);
                    continue;
                };
                if demotion.is_none() && role_of(&user) == Some(Role::Admin) && wanted != Role::Admin {
                    demotion = Some(path::member(&path, "global_role"));
                }
                if users.insert(user.email.clone(), (user, wanted)).is_some() {
                    self.problem(path, "is the same user as another entry; keep one of them");
                }
            }
            let mut old = BTreeMap::new();
            let mut new = BTreeMap::new();
            for (email, (user, wanted)) in &users {
                old.insert(email, role_of(user));
                new.insert(email, Some(*wanted));
            }
            if self.note(document, (0, ""), Some(&old), &new)? == Action::Unchanged {
                continue;
            }
            // Also where there are problems, which undo it: who would be left shows only then.
            for (user, wanted) in users.into_values() {
                self.set_role(user, wanted).await?;
            }
            if let Some(path) = demotion
                && !is_an_admin_left(self.tx).await?
            {
                self.problem(path, "nobody would be an administrator any more; make another user one first");
            }
        }
        Ok(())
    }

    async fn set_role(&self, user: entity::users::Model, wanted: Role) -> Result<()> {
        if role_of(&user) == Some(wanted) {
            return Ok(());
        }
        let change = users::ActiveModel {
            id: Unchanged(user.id),
            global_role: Set(role_word(wanted)),
            updated_at: Set(self.now),
            ..Default::default()
        };
        store::users::update(self.tx, change).await?;
        Ok(())
    }
}
