//! The first administrator and the initial configuration of a server.

use muster_api::rest::{Role, SetUp, SetUpDone};
use serde_json::{Value, json};

use super::change_gate::{Attempt, AttemptKind};
use super::user_rules::{check_email, check_name, name_of};
use super::{Access, Peer, new_user, normal_email, password, random_text, show};
use crate::fleet::error::none_of;
use crate::fleet::{Error, Problem, Result};
use crate::store::activities::Actor;
use crate::store::secrets::SecretTerms;
use crate::store::{activities, generations, secrets, settings, users};

/// The number of random bytes of the first enroll secret.
const SECRET_BYTES: usize = 24;

impl Access {
    /// Whether there is a user.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_set_up(&self) -> Result<bool> {
        Ok(users::count(self.store.reader()).await? > 0)
    }

    /// Creates the first administrator, the organisation's settings and an enroll secret, and logs the administrator in.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is a user already; [`Error::Invalid`] for missing fields or a weak password.
    pub async fn set_up(&self, request: &SetUp, peer: Peer) -> Result<SetUpDone> {
        if self.is_set_up().await? {
            return Err(already_done());
        }
        let (actor, kind) = (&Actor::default(), AttemptKind::Change);
        self.gate.pass(Attempt { actor, change: "set_up", kind, passes_freezes: false })?;
        check(request)?;
        let hash = self.passwords.hash(request.admin.password.clone()).await?;
        let now = self.clock.now();
        let admin = &request.admin;
        let name = name_of(&admin.name, admin.username.as_deref(), &admin.email);
        let config = first_config(request);
        let secret = random_text(SECRET_BYTES);
        let done = self
            .store
            .write(async |tx| {
                // First, because the row of the generation makes set-ups on all nodes wait for each other: the second
                // sees the user of the first.
                generations::bump(tx, generations::SCHEDULE).await?;
                if users::count(tx).await? > 0 {
                    return Ok(false);
                }
                let id =
                    users::insert(tx, new_user(&request.admin.email, name, Role::Admin, now), hash.clone()).await?;
                settings::set(tx, settings::APP_CONFIG, &config, now).await?;
                if secrets::all(tx).await?.is_empty() {
                    secrets::insert(tx, &secret, SecretTerms::default(), now).await?;
                }
                let actor = Actor { id: Some(id), name: name.to_owned(), email: request.admin.email.clone() };
                activities::add(tx, now, &actor, "set_up", &json!({})).await?;
                Ok(true)
            })
            .await?;
        if !done {
            return Err(already_done());
        }
        self.schedule.refresh().await?;
        let email = normal_email(&request.admin.email);
        let user = users::by_email(self.store.reader(), &email).await?;
        let user = user.ok_or_else(|| Error::Unavailable("the new administrator is not readable yet".to_owned()))?;
        let token = self.start_session(&user, &hash).await?;
        self.attempts.succeeded(&email, peer);
        Ok(SetUpDone {
            admin: show(&user),
            org_info: request.org_info.clone(),
            server_url: request.server_url.clone(),
            kolide_server_url: request.server_url.clone(),
            osquery_enroll_secret: None,
            token,
        })
    }
}

fn already_done() -> Error {
    Error::NotFound { kind: "Setup", key: "has been done already, so it".to_owned() }
}

/// What the answer to a login is before anybody can have logged in.
pub(super) fn not_done() -> Error {
    Error::NotFound { kind: "Setup", key: "has not been done yet, so this user".to_owned() }
}

fn check(request: &SetUp) -> Result<()> {
    let mut problems = Vec::new();
    check_email("admin.email", &request.admin.email, &mut problems);
    check_name("admin.name", &request.admin.name, &mut problems);
    check_name("admin.username", request.admin.username.as_deref().unwrap_or_default(), &mut problems);
    password::check("admin.password", &request.admin.password, &mut problems);
    if request.admin.password_confirmation.as_ref().is_some_and(|again| *again != request.admin.password) {
        problems.push(Problem::new("admin.password_confirmation", "differs from the password"));
    }
    none_of(problems)
}

fn first_config(request: &SetUp) -> Value {
    json!({
        "org_info": request.org_info,
        "server_settings": { "server_url": request.server_url },
    })
}
