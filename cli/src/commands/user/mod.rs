//! `fleetctl user`: accounts, one by one or many of a file.

mod bulk;
mod csv;
mod password;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use clap_complete::ArgValueCompleter;
use muster_api::rest::Role;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::login::{ask_secret, log_in};
use super::{ClientSession, completion};
use crate::output;
use crate::rest::{RestClient, RestError};

pub const EXAMPLES: &str = "\
Examples:
  # Create an observer; the password is prompted for
  fleetctl user create --email ada@example.com --name 'Ada Example'

  # Create the users of a spreadsheet
  fleetctl user create-users --csv users.csv > passwords.txt

  # List users and their roles
  fleetctl get user_roles";

#[derive(Subcommand)]
pub enum Command {
    /// Create a user
    Create(UserCreateArgs),
    /// Delete a user
    Delete(UserDeleteArgs),
    /// Create the users that a file lists; each gets a password
    CreateUsers(bulk::CreateUsersArgs),
    /// Delete the users that a file lists
    DeleteUsers(bulk::DeleteUsersArgs),
}

const CREATE_EXAMPLES: &str = "\
Examples:
  # Create an observer; the password is prompted for
  fleetctl user create --email ada@example.com --name 'Ada Example'

  # Create an API-only user for a script and print its token
  fleetctl user create --email ci@example.com --api-only --global-role maintainer";

#[derive(clap::Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub struct UserCreateArgs {
    /// Email address to log in with
    #[arg(long)]
    email: String,
    /// Display name [default: the email address]
    #[arg(long)]
    name: Option<String>,
    /// Password: at least 12 characters with a digit and a symbol; prompted for if not given
    #[arg(long)]
    password: Option<String>,
    /// Role: observer, maintainer or admin
    #[arg(long, value_name = "ROLE", default_value = "observer")]
    global_role: String,
    /// Create an API-only user and print its token
    #[arg(long)]
    api_only: bool,
    /// Refused: there is no single sign-on
    #[arg(long)]
    sso: bool,
}

const DELETE_EXAMPLES: &str = "\
Examples:
  # Delete a user; the user's sessions end
  fleetctl user delete --email ada@example.com";

#[derive(clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub struct UserDeleteArgs {
    /// Email address of the user
    #[arg(long, add = ArgValueCompleter::new(completion::users))]
    email: String,
}

#[derive(Deserialize)]
struct CreatedUser {
    /// Only API-only users get one.
    token: Option<String>,
}

/// A user to create.
#[derive(Debug, PartialEq, Eq)]
struct NewAccount {
    email: String,
    name: String,
    api_only: bool,
    global_role: Role,
}

impl NewAccount {
    /// Creates the user; gives the token of an API-only one, unless the server lets nobody log in at this moment.
    async fn create(&self, server: &RestClient, password: &str) -> anyhow::Result<Option<String>> {
        let body = json!({
            "email": self.email,
            "name": self.name,
            "password": password,
            "sso_enabled": false,
            "api_only": self.api_only,
            "global_role": self.global_role,
            "admin_forced_password_reset": false,
        });
        match server.post::<_, CreatedUser>("users/admin", &body).await {
            Err(RestError::Refused { status: StatusCode::CONFLICT, .. }) => {
                bail!("there is already a user {:?}; list users with: fleetctl get user_roles", self.email)
            }
            created => {
                let token = created.context("Failed to create user")?.token;
                if token.is_some() || !self.api_only {
                    return Ok(token);
                }
                let done = log_in(&server.with_token(""), &self.email, password).await;
                Ok(done.ok().map(|done| done.token))
            }
        }
    }
}

/// Users as lists have them, as far as they are looked at here.
#[derive(Deserialize)]
struct KnownUsers {
    users: Vec<KnownUser>,
}

#[derive(Deserialize)]
struct KnownUser {
    id: i64,
    email: String,
}

async fn all_users(server: &RestClient) -> anyhow::Result<Vec<KnownUser>> {
    Ok(server.get::<KnownUsers>("users").await?.users)
}

pub async fn run(session: &ClientSession, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(args) => create(session, args).await,
        Command::Delete(args) => delete(session, &args.email).await,
        Command::CreateUsers(args) => bulk::create(session, args).await,
        Command::DeleteUsers(args) => bulk::delete(session, args).await,
    }
}

async fn create(session: &ClientSession, args: UserCreateArgs) -> anyhow::Result<()> {
    let global_role = role(&args.global_role)?;
    if args.sso {
        bail!("there is no single sign-on; leave out --sso and give the user a password");
    }
    let password = args.password.map_or_else(ask_twice, Ok)?;
    let server = session.authenticated().await?;
    let name = args.name.unwrap_or_else(|| args.email.clone());
    let account = NewAccount { email: args.email, name, api_only: args.api_only, global_role };
    match account.create(&server, &password).await? {
        Some(token) => output::line(&format!("Success! The API token for your new user is: {token}"))?,
        None if account.api_only => {
            output::note("The user has no token yet; get one by logging in: fleetctl login --context NAME");
        }
        None => {}
    }
    output::note(&format!("[+] created user {:?} as {}", account.email, args.global_role));
    Ok(())
}

fn role(word: &str) -> anyhow::Result<Role> {
    match word {
        "observer" => Ok(Role::Observer),
        "maintainer" => Ok(Role::Maintainer),
        "admin" => Ok(Role::Admin),
        _ => bail!("'{word}' is not a valid global role; roles are observer, maintainer and admin"),
    }
}

fn ask_twice() -> anyhow::Result<String> {
    let password = ask_secret("Enter password for user: ")?;
    if ask_secret("Enter password for user (confirm): ")? != password {
        bail!("Confirmation does not match");
    }
    Ok(password)
}

async fn delete(session: &ClientSession, email: &str) -> anyhow::Result<()> {
    let server = session.authenticated().await?;
    let users = all_users(&server).await?;
    let Some(user) = users.iter().find(|user| user.email.eq_ignore_ascii_case(email)) else {
        bail!("there is no user {email:?}; list users with: fleetctl get user_roles");
    };
    let _: Value = server.delete(&format!("users/{}", user.id)).await.context("Failed to delete user")?;
    output::line(&format!("[+] deleted user {:?}", user.email))
}
