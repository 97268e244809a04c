use std::sync::Arc;

use muster_api::rest::{Role, User};
use muster_sql::GuardRole;

use super::change_gate::{Attempt, AttemptKind, ChangeGate};
use super::freeze::Frozen;
use crate::clock::Moment;
use crate::fleet::documents::DocumentsNotice;
use crate::fleet::{Error, Result};
use crate::store::activities::Actor;
use crate::store::entity::users::{self, RoleWord};

/// The user who makes a request.
#[derive(Debug, Clone)]
pub struct Principal {
    pub user: User,
    /// `None` is below every role.
    pub(super) role: Option<Role>,
    pub(super) token_hash: [u8; 32],
    /// Whether this request has said why a freeze is not to refuse it.
    pub(super) passes_freezes: bool,
    /// What changes of this user pass.
    pub(super) gate: Arc<ChangeGate>,
}

/// A permission, which a role has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    ReadHosts,
    ReadQueries,
    ReadLabels,
    ReadPacks,
    /// The whole configuration, agent options included.
    ReadConfig,
    ReadSecrets,
    /// Live queries with arbitrary SQL, and the live queries of other users.
    RunLiveQueries,
    /// Deleting hosts and refetching their details.
    WriteHosts,
    /// Queries, packs and labels.
    WriteSchedule,
    WriteConfig,
    WriteSecrets,
    /// Reading which carves there are, but not what is in them.
    ReadCarves,
    /// Reading the contents of carves, and deleting carves.
    TakeCarves,
    /// Reading what operators did; what they did to users only with [`Permission::ManageUsers`].
    ReadActivities,
    /// Reading and changing users. Every user may read the own account and change the own password.
    ManageUsers,
    /// Reading everything under `/debug`: profiles, the state of the server, of its database and Redis.
    Debug,
}

impl Permission {
    /// Whether it is for changes, or for asking hosts.
    fn is_for_changes(self) -> bool {
        match self {
            Self::ReadHosts
            | Self::ReadQueries
            | Self::ReadLabels
            | Self::ReadPacks
            | Self::ReadConfig
            | Self::ReadSecrets
            | Self::ReadActivities
            | Self::ReadCarves
            | Self::TakeCarves
            | Self::Debug => false,
            Self::RunLiveQueries
            | Self::WriteHosts
            | Self::WriteSchedule
            | Self::WriteConfig
            | Self::WriteSecrets
            | Self::ManageUsers => true,
        }
    }

    fn kind(self) -> AttemptKind {
        match self {
            Self::RunLiveQueries => AttemptKind::LiveQuery,
            Self::WriteSchedule | Self::WriteConfig => AttemptKind::Documents,
            Self::WriteSecrets => AttemptKind::Secrets,
            Self::WriteHosts
            | Self::ManageUsers
            | Self::TakeCarves
            | Self::ReadHosts
            | Self::ReadQueries
            | Self::ReadLabels
            | Self::ReadPacks
            | Self::ReadConfig
            | Self::ReadSecrets
            | Self::ReadCarves
            | Self::ReadActivities
            | Self::Debug => AttemptKind::Change,
        }
    }

    /// As activities name it.
    fn word(self) -> &'static str {
        match self {
            Self::ReadHosts => "read_hosts",
            Self::ReadQueries => "read_queries",
            Self::ReadLabels => "read_labels",
            Self::ReadPacks => "read_packs",
            Self::ReadConfig => "read_config",
            Self::ReadSecrets => "read_secrets",
            Self::RunLiveQueries => "run_live_queries",
            Self::WriteHosts => "write_hosts",
            Self::WriteSchedule => "write_schedule",
            Self::WriteConfig => "write_config",
            Self::WriteSecrets => "write_secrets",
            Self::ReadActivities => "read_activities",
            Self::ReadCarves => "read_carves",
            Self::TakeCarves => "take_carves",
            Self::ManageUsers => "manage_users",
            Self::Debug => "debug",
        }
    }

    /// The least role that has the permission.
    pub fn least_role(self) -> Role {
        match self {
            Self::ReadHosts | Self::ReadQueries | Self::ReadLabels => Role::Observer,
            // Maintainers read all that hosts are served: with a live query they could read it from the agents anyway.
            Self::ReadPacks
            | Self::ReadConfig
            | Self::ReadSecrets
            | Self::RunLiveQueries
            | Self::ReadActivities
            | Self::ReadCarves
            | Self::WriteHosts
            | Self::WriteSchedule => Role::Maintainer,
            // A carve can hold any file of a host: keys, password hashes, the memory of programs. No table shows these.
            Self::TakeCarves | Self::WriteConfig | Self::WriteSecrets | Self::ManageUsers | Self::Debug => Role::Admin,
        }
    }
}

/// The id of who is no user of the server.
const NOBODY_HERE: i64 = 0;

impl Principal {
    /// A program of the server that an operator has started at its command line, with all rights.
    pub(in crate::fleet) fn program(name: &str, now: Moment) -> Self {
        let user = User {
            created_at: now.to_utc(),
            updated_at: now.to_utc(),
            id: NOBODY_HERE,
            name: name.to_owned(),
            email: String::new(),
            username: String::new(),
            admin: true,
            enabled: true,
            force_password_reset: false,
            gravatar_url: String::new(),
            sso_enabled: false,
            global_role: Some(Role::Admin),
            api_only: true,
            teams: Vec::new(),
        };
        Self { user, role: Some(Role::Admin), token_hash: [0; 32], passes_freezes: false, gate: Arc::default() }
    }

    /// # Errors
    /// [`Error::Forbidden`] if the role does not have the permission.
    pub fn may(&self, permission: Permission) -> Result<()> {
        if self.role >= Some(permission.least_role()) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// As [`Principal::may`], for what changes something or asks hosts.
    ///
    /// # Errors
    /// As there, and [`Error::Closed`] while nobody may.
    pub fn may_change(&self, permission: Permission) -> Result<()> {
        self.may(permission)?;
        self.passes(permission)
    }

    /// As [`Principal::may_change`], for steps of what documents have begun: no documents folder holds them.
    ///
    /// # Errors
    /// As there.
    pub fn may_steer(&self, permission: Permission) -> Result<()> {
        self.may(permission)?;
        self.passes_as(permission.word(), AttemptKind::Change)
    }

    /// As [`Principal::may_change`], or as [`Principal::may`] for what only tells what would change.
    ///
    /// # Errors
    /// As there.
    pub fn may_write(&self, permission: Permission, dry_run: bool) -> Result<()> {
        if dry_run { self.may(permission) } else { self.may_change(permission) }
    }

    /// Whether this user may apply documents of some kind; which ones is asked for each.
    ///
    /// # Errors
    /// As for [`Principal::may_write`].
    pub(in crate::fleet) fn may_apply(&self, dry_run: bool) -> Result<()> {
        self.may(Permission::WriteSchedule)?;
        if dry_run { Ok(()) } else { self.passes_as(Permission::WriteSchedule.word(), AttemptKind::Change) }
    }

    /// Whether this user may do it now, for pages: nothing is offered that would be refused.
    pub fn is_offered(&self, permission: Permission) -> bool {
        self.may(permission).is_ok() && (!permission.is_for_changes() || self.gate.is_open(permission.kind()))
    }

    /// Why nobody may do now what a permission is for, for pages that show it all the same; `None` if it is allowed.
    pub fn why_closed(&self, permission: Permission) -> Option<String> {
        self.gate.why_closed(permission.kind())
    }

    /// # Errors
    /// [`Error::Forbidden`] to users who may not decide on SQL of others, and [`Error::Closed`] while nobody may.
    pub(in crate::fleet) fn may_approve(&self) -> Result<()> {
        self.may(Permission::RunLiveQueries)?;
        self.passes_as("decide_approval", AttemptKind::Approval)
    }

    /// # Errors
    /// [`Error::Closed`] while nobody may change anything or ask hosts.
    pub(in crate::fleet) fn passes(&self, permission: Permission) -> Result<()> {
        self.passes_as(permission.word(), permission.kind())
    }

    /// As [`Principal::passes`], for what needs no permission.
    ///
    /// # Errors
    /// As there.
    pub(super) fn passes_as(&self, change: &'static str, kind: AttemptKind) -> Result<()> {
        self.gate.pass(Attempt { actor: &self.actor(), change, kind, passes_freezes: self.passes_freezes })
    }

    /// The folder that documents come from, if that is so.
    pub fn documents(&self) -> Option<&DocumentsNotice> {
        self.gate.documents.as_deref()
    }

    /// The freeze of changes that is in force, if there is one.
    pub fn frozen(&self) -> Option<Arc<Frozen>> {
        self.gate.frozen(AttemptKind::Change)
    }

    /// The role by which the table guard judges SQL of this user.
    pub(in crate::fleet) fn guard_role(&self) -> GuardRole {
        match self.role {
            Some(Role::Admin) => GuardRole::Admin,
            Some(Role::Maintainer) => GuardRole::Maintainer,
            Some(Role::Observer) | None => GuardRole::Observer,
        }
    }

    pub(in crate::fleet) fn actor(&self) -> Actor {
        let id = Some(self.user.id).filter(|id| *id != NOBODY_HERE);
        Actor { id, name: self.user.name.clone(), email: self.user.email.clone() }
    }
}

/// The word a role is stored as.
pub(in crate::fleet) fn role_word(role: Role) -> RoleWord {
    match role {
        Role::Admin => RoleWord::Admin,
        Role::Maintainer => RoleWord::Maintainer,
        Role::Observer => RoleWord::Observer,
    }
}

/// The role of a user; `None` for a role this version does not know, which allows nothing.
pub(in crate::fleet) fn role_of(user: &users::Model) -> Option<Role> {
    match &user.global_role {
        RoleWord::Admin => Some(Role::Admin),
        RoleWord::Maintainer => Some(Role::Maintainer),
        RoleWord::Observer => Some(Role::Observer),
        RoleWord::Unknown(_) => None,
    }
}
