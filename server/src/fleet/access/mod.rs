//! Users, their sessions and permissions.

mod attempts;
mod change_gate;
mod freeze;
mod import_users;
mod manage_users;
mod override_freeze;
mod password;
mod peer;
mod principal;
mod remembered;
mod set_up;
mod user_rules;

pub use freeze::Frozen;
pub(super) use import_users::{ImportedUser, UserOutcome};
pub use manage_users::Users;
pub(super) use manage_users::is_an_admin_left;
pub use peer::Peer;
pub use principal::{Permission, Principal};
pub(super) use principal::{role_of, role_word};

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_api::rest::{LoggedIn, Login, Role, User};
use rand::Rng as _;
use sea_orm::ConnectionTrait;
use sha2::{Digest as _, Sha256};

use self::attempts::{Attempts, LoginSource};
use self::change_gate::ChangeGate;
use self::password::Passwords;
use self::remembered::RememberedAdmins;
use super::schedule::Schedule;
use super::{Error, Result};
use crate::clock::{Clock, Moment};
use crate::config::{self, Config};
use crate::store::activities::Actor;
use crate::store::entity::users::RoleWord;
use crate::store::{Store, activities, entity, users};
use crate::telemetry::{LogLimit, Metrics};

/// The number of random bytes of a session token.
const TOKEN_BYTES: usize = 64;

/// Activities that one transaction removes at most.
const PRUNED_AT_ONCE: u64 = 500;

/// When strangers may try again that were refused because too many passwords were waiting to be checked.
const BUSY: Duration = Duration::from_secs(1);

/// Failed logins from an address are logged this often at most, and so are its refused forms.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);

/// The last use of a session is written only if the stored one is older than this.
const ACCESS_STALENESS: Duration = Duration::from_secs(60);

/// Users and their sessions.
#[derive(Debug)]
pub struct Access {
    store: Store,
    clock: Clock,
    config: config::Session,
    /// Zero keeps activities for ever.
    activity_retention: Duration,
    passwords: Passwords,
    attempts: Attempts,
    failed_logins: LogLimit<Peer>,
    refused_forms: LogLimit<Peer>,
    remembered: RememberedAdmins,
    gate: Arc<ChangeGate>,
    schedule: Arc<Schedule>,
    metrics: Arc<Metrics>,
}

impl Access {
    pub fn new(store: Store, clock: Clock, config: &Config, schedule: Arc<Schedule>, metrics: Arc<Metrics>) -> Self {
        Self {
            gate: Arc::new(ChangeGate::new(config, clock.clone())),
            store,
            clock,
            activity_retention: config.activities.retention,
            passwords: Passwords::default(),
            failed_logins: LogLimit::new(REFUSALS_EVERY),
            refused_forms: LogLimit::new(REFUSALS_EVERY),
            remembered: RememberedAdmins::default(),
            attempts: Attempts::new(config.session.logins_per_minute),
            config: config.session.clone(),
            schedule,
            metrics,
        }
    }

    /// Checks a password that `peer` sent and starts a session.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], the same for an unknown user and a wrong password; [`Error::TooMany`] beyond the limit;
    /// [`Error::NotFound`] while there is no user at all, from which Fleet's clients know that the server is not set up.
    pub async fn log_in(&self, login: &Login, peer: Peer) -> Result<LoggedIn> {
        let email = normal_email(&login.email);
        let attempt = self.attempts.log_in(&email, peer, self.clock.now());
        let source = attempt.map_err(|retry_after| self.too_many(retry_after))?;
        let user = users::by_email(self.store.reader(), &email).await?;
        let hash = match &user {
            Some(user) => users::password_hash(self.store.reader(), user.id).await?,
            None => None,
        };
        let is_right = match source {
            LoginSource::Familiar => self.passwords.verify(login.password.clone(), hash.clone()).await?,
            LoginSource::Stranger => {
                let (password, hash) = (login.password.clone(), hash.clone());
                let verified = self.passwords.verify_for_stranger(password, hash, peer.network()).await?;
                verified.ok_or_else(|| self.too_many(BUSY))?
            }
        };
        let (true, Some(user), Some(hash)) = (is_right, user.as_ref(), hash) else {
            self.log_failed(user.as_ref(), peer);
            let is_set_up = user.is_some() || self.is_set_up().await?;
            return Err(if is_set_up { Error::Unauthenticated } else { set_up::not_done() });
        };
        let token = self.start_session(user, &hash).await?;
        self.attempts.succeeded(&email, peer);
        if let RoleWord::Unknown(role) = &user.global_role {
            tracing::warn!(
                user_id = user.id,
                role = role.as_str(),
                "this version does not know the role of a user, who may do nothing here; upgrade this node"
            );
        }
        Ok(LoggedIn { user: show(user), token })
    }

    /// Finds the user of a session token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an unknown or expired session.
    pub async fn authenticate(&self, token: &str) -> Result<Principal> {
        let (principal, accessed_at) = self.user_of(hash_token(token)).await?;
        let (now, hash) = (self.clock.now(), principal.token_hash);
        if now.since(accessed_at) > ACCESS_STALENESS {
            self.store.write(async |tx| users::touch_session(tx, hash.to_vec(), now).await).await?;
        }
        Ok(principal)
    }

    /// As [`Access::authenticate`], for what nobody asks for: a session does not last longer because of it.
    ///
    /// # Errors
    /// As for [`Access::authenticate`].
    pub async fn recognize(&self, token: &str) -> Result<Principal> {
        Ok(self.user_of(hash_token(token)).await?.0)
    }

    /// The admin to whom a session belonged when the database last knew it, within the last 15 minutes: for what must work while it
    /// does not answer.
    pub(super) fn remember(&self, token: &str) -> Option<Principal> {
        self.remembered.lately(&hash_token(token), self.clock.now(), self.config.duration)
    }

    /// As [`Access::recognize`], read from this connection.
    ///
    /// # Errors
    /// As for [`Access::authenticate`].
    pub(super) async fn recognize_from(&self, db: &impl ConnectionTrait, token: &str) -> Result<Principal> {
        Ok(self.user_from(db, hash_token(token)).await?.0)
    }

    /// The user of a request as of now, without making the session last longer.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the session has ended meanwhile.
    pub async fn again(&self, principal: &Principal) -> Result<Principal> {
        Ok(self.user_of(principal.token_hash).await?.0)
    }

    /// The user of a session that has not ended, and when it was last used.
    async fn user_of(&self, hash: [u8; 32]) -> Result<(Principal, Moment)> {
        self.user_from(self.store.reader(), hash).await
    }

    async fn user_from(&self, db: &impl ConnectionTrait, hash: [u8; 32]) -> Result<(Principal, Moment)> {
        let now = self.clock.now();
        let found = users::session(db, hash).await?;
        let found = found.filter(|(session, _)| now.since(session.accessed_at) <= self.config.duration);
        let Some((session, user)) = found else {
            self.remembered.is_unknown(&hash);
            return Err(Error::Unauthenticated);
        };
        let gate = Arc::clone(&self.gate);
        let principal =
            Principal { role: role_of(&user), user: show(&user), token_hash: hash, passes_freezes: false, gate };
        self.remembered.is_known(&principal, now);
        Ok((principal, session.accessed_at))
    }

    /// Logs that a form was refused, seldom for one sender.
    pub fn log_refused_form(&self, peer: Peer, path: &str) {
        if let Some(left_out) = self.refused_forms.pass(peer, self.clock.now()) {
            tracing::warn!(address = %peer, path, left_out, "a form was refused: no page of its sender has its token");
        }
    }

    /// Logs a failed login. What was typed is not logged unless it is an account: people type passwords there.
    fn log_failed(&self, user: Option<&entity::users::Model>, peer: Peer) {
        if let Some(left_out) = self.failed_logins.pass(peer, self.clock.now()) {
            let account = user.map_or("(none of this name)", |user| user.email.as_str());
            tracing::warn!(account, address = %peer, left_out, "a login failed");
        }
    }

    /// Ends the session of the request.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn log_out(&self, principal: &Principal) -> Result<()> {
        self.end_session(principal.token_hash).await
    }

    /// Ends the session with this token, if there is one.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn end(&self, token: &str) -> Result<()> {
        self.end_session(hash_token(token)).await
    }

    async fn end_session(&self, hash: [u8; 32]) -> Result<()> {
        self.remembered.is_unknown(&hash);
        Ok(self.store.write(async |tx| users::end_session(tx, hash).await).await?)
    }

    /// Removes expired sessions, and logs failed logins and refused forms that no line has counted yet.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn sweep(&self) -> Result<()> {
        for (peer, left_out) in self.failed_logins.overdue(self.clock.now()) {
            let address = peer.map(|peer| peer.to_string());
            tracing::warn!(address, left_out, "further logins failed");
        }
        for (peer, left_out) in self.refused_forms.overdue(self.clock.now()) {
            let address = peer.map(|peer| peer.to_string());
            tracing::warn!(address, left_out, "further forms were refused");
        }
        let before = self.clock.now().minus(self.config.duration);
        Ok(self.store.write(async |tx| users::end_idle_sessions(tx, before).await).await?)
    }

    /// Removes activities that are older than `activities.retention`.
    ///
    /// # Errors
    /// If the database does not answer; the next call goes on.
    pub async fn prune_activities(&self) -> Result<()> {
        if self.activity_retention.is_zero() {
            return Ok(());
        }
        let before = self.clock.now().minus(self.activity_retention);
        while self.store.write(async |tx| activities::prune(tx, before, PRUNED_AT_ONCE).await).await? {}
        Ok(())
    }

    /// Refuses an attempt beyond the limit.
    fn too_many(&self, retry_after: Duration) -> Error {
        self.metrics.limit_hit("logins_per_minute");
        Error::TooMany { retry_after }
    }

    /// Starts a session of a user who has shown the password behind `password_hash`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the user was deleted or has another password by now.
    async fn start_session(&self, user: &entity::users::Model, password_hash: &str) -> Result<String> {
        let token = random_text(TOKEN_BYTES);
        let hash = hash_token(&token);
        let now = self.clock.now();
        let actor = Actor { id: Some(user.id), name: user.name.clone(), email: user.email.clone() };
        self.store
            .write_with(async |tx| {
                let is_there = users::to_change(tx, user.id).await?.is_some();
                if !is_there || users::password_hash(tx, user.id).await?.as_deref() != Some(password_hash) {
                    return Err(Error::Unauthenticated);
                }
                users::add_session(tx, hash, user.id, now).await?;
                activities::add(tx, now, &actor, "user_logged_in", &serde_json::json!({})).await?;
                Ok(())
            })
            .await?;
        Ok(token)
    }
}

/// Random bytes as base64 text.
pub(super) fn random_text(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    rand::rng().fill_bytes(&mut buffer);
    STANDARD.encode(buffer)
}

fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Addresses are compared without regard to capitals and spaces around them.
pub(super) fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}

fn show(user: &entity::users::Model) -> User {
    let role = role_of(user);
    User {
        created_at: user.created_at.to_utc(),
        updated_at: user.updated_at.to_utc(),
        id: user.id,
        name: user.name.clone(),
        email: user.email.clone(),
        username: user.email.clone(),
        admin: role == Some(Role::Admin),
        enabled: true,
        force_password_reset: false,
        gravatar_url: String::new(),
        sso_enabled: false,
        global_role: role,
        api_only: user.api_only,
        teams: Vec::new(),
    }
}

/// A new user's row.
fn new_user(email: &str, name: &str, role: Role, now: Moment) -> entity::users::ActiveModel {
    use sea_orm::Set;
    entity::users::ActiveModel {
        email: Set(normal_email(email)),
        name: Set(name.to_owned()),
        global_role: Set(role_word(role)),
        api_only: Set(false),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    }
}
