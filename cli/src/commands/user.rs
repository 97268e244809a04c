use anyhow::{Context as _, bail};
use clap::Subcommand;
use muster_api::rest::Role;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ClientSession;
use super::login::ask_secret;
use crate::output;
use crate::rest::RestError;

#[derive(Subcommand)]
pub enum Command {
    /// Create a user
    Create(UserCreateArgs),
    /// Delete a user
    Delete(UserDeleteArgs),
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

#[derive(clap::Args)]
pub struct UserDeleteArgs {
    /// Email address of the user
    #[arg(long)]
    email: String,
}

#[derive(Deserialize)]
struct CreatedUser {
    /// Only API-only users get one.
    token: Option<String>,
}

#[derive(Deserialize)]
struct ListedUsers {
    users: Vec<ListedUser>,
}

#[derive(Deserialize)]
struct ListedUser {
    id: i64,
    email: String,
}

pub async fn run(session: &ClientSession, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(args) => create(session, args).await,
        Command::Delete(args) => delete(session, &args.email).await,
    }
}

async fn create(session: &ClientSession, args: UserCreateArgs) -> anyhow::Result<()> {
    let role = role(&args.global_role)?;
    if args.sso {
        bail!("there is no single sign-on; leave out --sso and give the user a password");
    }
    let password = match args.password {
        None => Some(ask_twice()?),
        given => given,
    };
    let server = session.authenticated().await?;
    let body = json!({
        "email": args.email,
        "name": args.name.as_ref().unwrap_or(&args.email),
        "password": password,
        "sso_enabled": false,
        "api_only": args.api_only,
        "global_role": role,
        "admin_forced_password_reset": false,
    });
    let created: CreatedUser = match server.post("users/admin", &body).await {
        Err(RestError::Refused { status: StatusCode::CONFLICT, .. }) => {
            bail!("there is already a user {:?}; list users with: fleetctl get user_roles", args.email)
        }
        created => created.context("Failed to create user")?,
    };
    if let Some(token) = created.token {
        output::line(&format!("Success! The API token for your new user is: {token}"))?;
    }
    output::note(&format!("[+] created user {:?} as {}", args.email, args.global_role));
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
    let found: ListedUsers = server.get("users").await?;
    let Some(user) = found.users.iter().find(|user| user.email.eq_ignore_ascii_case(email)) else {
        bail!("there is no user {email:?}; list users with: fleetctl get user_roles");
    };
    let _: Value = server.delete(&format!("users/{}", user.id)).await.context("Failed to delete user")?;
    output::line(&format!("[+] deleted user {:?}", user.email))
}
