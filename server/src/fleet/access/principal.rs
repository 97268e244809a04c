use muster_api::rest::{Role, User};

use crate::fleet::{Error, Result};
use crate::store::activities::Actor;
use crate::store::{self, entity};

/// The user who makes a request.
#[derive(Debug, Clone)]
pub struct Principal {
    pub user: User,
    pub(super) role: Role,
    pub(super) token_hash: [u8; 32],
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
    /// Reading and changing users. Every user may read the own account and change the own password.
    ManageUsers,
}

impl Permission {
    /// The least role that has the permission.
    pub fn least_role(self) -> Role {
        match self {
            Self::ReadHosts | Self::ReadQueries | Self::ReadLabels => Role::Observer,
            Self::ReadPacks | Self::ReadSecrets | Self::RunLiveQueries | Self::WriteHosts | Self::WriteSchedule => {
                Role::Maintainer
            }
            Self::ReadConfig | Self::WriteConfig | Self::WriteSecrets | Self::ManageUsers => Role::Admin,
        }
    }
}

impl Principal {
    /// # Errors
    /// [`Error::Forbidden`] if the role does not have the permission.
    pub fn may(&self, permission: Permission) -> Result<()> {
        if self.role >= permission.least_role() { Ok(()) } else { Err(Error::Forbidden) }
    }

    pub(in crate::fleet) fn actor(&self) -> Actor {
        Actor { id: Some(self.user.id), name: self.user.name.clone(), email: self.user.email.clone() }
    }
}

/// A role as it is stored.
pub(in crate::fleet) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Maintainer => "maintainer",
        Role::Observer => "observer",
    }
}

pub(in crate::fleet) fn role_of(user: &entity::users::Model) -> Result<Role> {
    match user.global_role.as_str() {
        "admin" => Ok(Role::Admin),
        "maintainer" => Ok(Role::Maintainer),
        "observer" => Ok(Role::Observer),
        other => Err(store::Error::Corrupt {
            table: "users",
            key: user.id.to_string(),
            reason: format!("unknown role {other:?}"),
        }
        .into()),
    }
}
