//! `fleetctl user create-users` and `delete-users`: many users of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use super::csv::{self, CsvTable};
use super::{KnownUser, NewAccount, all_users, password, role};
use crate::commands::ClientSession;
use crate::{documents, files, output};

const CREATE_EXAMPLES: &str = "\
The columns of a CSV file are Name, Email, SSO, API Only, Global Role and Teams, as those of Fleet; Email alone is required. The
items of a YAML file have the keys name, email, api_only and global_role. Each user gets a password that is printed once.

Examples:
  # Create the users of a spreadsheet, and keep their passwords
  fleetctl user create-users --csv users.csv > passwords.txt

  # The same from YAML
  printf -- '- {name: Ada, email: ada@example.com, global_role: maintainer}\\n' > users.yml
  fleetctl user create-users --yaml users.yml";

const DELETE_EXAMPLES: &str = "\
The CSV file has a column Email, others are ignored; the YAML file is a list of addresses, or one of items with the key email.

Examples:
  # Delete the users of a spreadsheet
  fleetctl user delete-users --csv leavers.csv";

/// Users of one file.
const MOST: usize = 10_000;

#[derive(clap::Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub struct CreateUsersArgs {
    #[command(flatten)]
    file: UserFile,
}

#[derive(clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub struct DeleteUsersArgs {
    #[command(flatten)]
    file: UserFile,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct UserFile {
    /// File of comma-separated values, or - for standard input
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// File of YAML, or - for standard input
    #[arg(long, value_name = "FILE")]
    yaml: Option<PathBuf>,
}

/// A user of a file, and where it stands there.
#[derive(Debug, PartialEq, Eq)]
struct ListedUser {
    position: String,
    fields: UserFields,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UserFields {
    email: String,
    name: String,
    sso: bool,
    api_only: bool,
    global_role: String,
    teams: Vec<String>,
}

/// An item of a YAML list of users to delete.
#[derive(Deserialize)]
#[serde(untagged)]
enum LeavingUser {
    Email(String),
    Fields { email: String },
}

pub async fn create(session: &ClientSession, args: CreateUsersArgs) -> anyhow::Result<()> {
    let (name, text) = args.file.read()?;
    let listed = match args.file.csv {
        Some(_) => of_table(&name, csv::read(&name, &text)?)?,
        None => of_yaml(&name, &text)?,
    };
    let accounts = checked(&listed)?;
    let server = session.authenticated().await?;
    let known: BTreeSet<String> = all_users(&server).await?.into_iter().map(|user| lower(&user.email)).collect();
    let there = listed.iter().filter(|user| known.contains(&lower(&user.fields.email)));
    let there: Vec<_> =
        there.map(|user| format!("{}: there is already a user {:?}", user.position, user.fields.email)).collect();
    refuse(&there, "created")?;
    let mut failed = 0;
    for (account, user) in accounts.iter().zip(&listed) {
        let password = password::generate();
        match account.create(&server, &password).await {
            Ok(Some(token)) => output::line(&format!("Email: {} API token: {token}", account.email))?,
            Ok(None) => output::line(&format!("Email: {} Generated password: {password}", account.email))?,
            Err(error) => {
                output::note(&format!("{}: {error:#}", user.position));
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} users were not created", accounts.len());
    }
    output::note(&format!("[+] created {} users", accounts.len()));
    Ok(())
}

pub async fn delete(session: &ClientSession, args: DeleteUsersArgs) -> anyhow::Result<()> {
    let (name, text) = args.file.read()?;
    let listed = match args.file.csv {
        Some(_) => emails_of_table(&name, csv::read(&name, &text)?)?,
        None => emails_of_yaml(&name, &text)?,
    };
    check_count(&name, listed.len())?;
    let server = session.authenticated().await?;
    let users: BTreeMap<String, KnownUser> =
        all_users(&server).await?.into_iter().map(|user| (lower(&user.email), user)).collect();
    let (mut found, mut problems) = (BTreeMap::new(), Vec::new());
    for (position, email) in &listed {
        match users.get(&lower(email)) {
            Some(user) => {
                found.insert(user.id, user);
            }
            None => problems.push(format!("{position}: there is no user {email:?}")),
        }
    }
    refuse(&problems, "deleted")?;
    let mut failed = 0;
    for user in found.values() {
        match server.delete::<Value>(&format!("users/{}", user.id)).await {
            Ok(_) => output::line(&format!("[+] deleted user {:?}", user.email))?,
            Err(error) => {
                output::note(&format!("{}: {error}", user.email));
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} users were not deleted", found.len());
    }
    Ok(())
}

impl UserFile {
    fn read(&self) -> anyhow::Result<(String, String)> {
        let path: Vec<PathBuf> = self.csv.iter().chain(&self.yaml).cloned().collect();
        if let Some(dir) = path.iter().find(|path| path.is_dir()) {
            bail!("{} is a directory; name a file", dir.display());
        }
        let read = files::read(&path, &[])?.texts;
        read.into_iter().next().ok_or_else(|| anyhow!("name a file with --csv or --yaml"))
    }
}

/// Prints all problems; an error that nothing was `done`, if there are any.
fn refuse(problems: &[String], done: &str) -> anyhow::Result<()> {
    problems.iter().for_each(|problem| output::note(problem));
    match problems.len() {
        0 => Ok(()),
        1 => bail!("1 problem, nothing was {done}"),
        several => bail!("{several} problems, nothing was {done}"),
    }
}

fn check_count(name: &str, count: usize) -> anyhow::Result<()> {
    match count {
        0 => bail!("{name} names no users"),
        1..=MOST => Ok(()),
        _ => bail!("{name} names {count} users; at most {MOST} can be in one file"),
    }
}

/// The users as the server takes them.
///
/// # Errors
/// Everything that is wrong with any of them.
fn checked(listed: &[ListedUser]) -> anyhow::Result<Vec<NewAccount>> {
    check_count("the file", listed.len())?;
    let (mut accounts, mut problems, mut emails) = (Vec::new(), Vec::new(), BTreeSet::new());
    for ListedUser { position, fields } in listed {
        let UserFields { email, name, sso, api_only, global_role, teams } = fields;
        let mut problem = |text: String| problems.push(format!("{position}: {text}"));
        if email.is_empty() {
            problem("there is no email".to_owned());
        } else if !emails.insert(lower(email)) {
            problem(format!("{email:?} is named twice"));
        }
        if *sso {
            problem(format!("there is no single sign-on; give {email:?} false or nothing for SSO"));
        }
        if !teams.is_empty() {
            problem(format!("there are no teams; give {email:?} a global role instead"));
        }
        match role(if global_role.is_empty() { "observer" } else { global_role }) {
            Ok(global_role) => {
                let name = if name.is_empty() { email.clone() } else { name.clone() };
                accounts.push(NewAccount { email: email.clone(), name, api_only: *api_only, global_role });
            }
            Err(error) => problem(error.to_string()),
        }
    }
    refuse(&problems, "created")?;
    Ok(accounts)
}

fn lower(email: &str) -> String {
    email.to_lowercase()
}

/// A column by its name, written in any way: `API Only` is `api_only`.
fn plain(column: &str) -> String {
    column.to_lowercase().replace([' ', '-'], "_")
}

fn of_table(name: &str, table: CsvTable) -> anyhow::Result<Vec<ListedUser>> {
    let columns: Vec<String> = table.columns.iter().map(|column| plain(column)).collect();
    let known = ["name", "email", "sso", "api_only", "global_role", "teams"];
    if let Some(at) = columns.iter().position(|column| !known.contains(&column.as_str())) {
        bail!(
            "{name}:1: unknown column {:?}; expected Name, Email, SSO, API Only, Global Role, Teams",
            table.columns[at]
        );
    }
    if !columns.iter().any(|column| column == "email") {
        bail!("{name}:1: there is no column Email");
    }
    let mut problems = Vec::new();
    let mut users = Vec::new();
    for (line, cells) in table.rows {
        let position = format!("{name}:{line}");
        let mut fields = UserFields::default();
        for (column, cell) in columns.iter().zip(cells) {
            let mut flag = || {
                truth(&cell).unwrap_or_else(|| {
                    problems.push(format!("{position}: {cell:?} is neither true nor false"));
                    false
                })
            };
            match column.as_str() {
                "name" => fields.name = cell,
                "email" => fields.email = cell,
                "sso" => fields.sso = flag(),
                "api_only" => fields.api_only = flag(),
                "global_role" => fields.global_role = cell.to_lowercase(),
                _ => fields.teams = cell.split_whitespace().map(str::to_owned).collect(),
            }
        }
        users.push(ListedUser { position, fields });
    }
    refuse(&problems, "created")?;
    Ok(users)
}

/// A yes or no, as spreadsheets and people write it; nothing is no.
fn truth(cell: &str) -> Option<bool> {
    match cell.to_lowercase().as_str() {
        "" | "false" | "no" | "0" => Some(false),
        "true" | "yes" | "1" => Some(true),
        _ => None,
    }
}

fn of_yaml(name: &str, text: &str) -> anyhow::Result<Vec<ListedUser>> {
    let parsed = documents::parse::<Vec<UserFields>>(name, text).map_err(|problem| anyhow!("{problem}"))?;
    let users = parsed.unwrap_or_default().into_iter().enumerate();
    Ok(users.map(|(index, fields)| ListedUser { position: format!("{name}: user {}", index + 1), fields }).collect())
}

fn emails_of_table(name: &str, table: CsvTable) -> anyhow::Result<Vec<(String, String)>> {
    let at = table.columns.iter().position(|column| plain(column) == "email");
    let Some(at) = at else { bail!("{name}:1: there is no column Email") };
    let rows = table.rows.into_iter();
    let of_row =
        |(line, cells): (usize, Vec<String>)| (format!("{name}:{line}"), cells.get(at).cloned().unwrap_or_default());
    Ok(rows.map(of_row).collect())
}

fn emails_of_yaml(name: &str, text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let parsed = documents::parse::<Vec<LeavingUser>>(name, text).map_err(|problem| anyhow!("{problem}"))?;
    let of_item = |(index, item): (usize, LeavingUser)| {
        let (LeavingUser::Email(email) | LeavingUser::Fields { email }) = item;
        (format!("{name}: user {}", index + 1), email)
    };
    Ok(parsed.unwrap_or_default().into_iter().enumerate().map(of_item).collect())
}

#[cfg(test)]
mod tests {
    use muster_api::rest::Role;

    use super::*;

    #[test]
    fn the_columns_of_fleet_are_read() {
        let text = "Name,Email,SSO,API Only,Global Role,Teams\nAda,ada@example.com,false,FALSE,Maintainer,\n\
                    CI,ci@example.com,,true,,\n";
        let users = of_table("u.csv", csv::read("u.csv", text).unwrap()).unwrap();
        let accounts = checked(&users).unwrap();
        assert_eq!((accounts[0].name.as_str(), accounts[0].global_role), ("Ada", Role::Maintainer));
        assert_eq!((accounts[1].api_only, accounts[1].global_role), (true, Role::Observer));
        let yaml = "- {name: Ada, email: ada@example.com, global_role: maintainer}\n- {email: ci@example.com, api_only: true}\n";
        let of_yaml = checked(&of_yaml("u.yml", yaml).unwrap()).unwrap();
        assert_eq!((of_yaml[0].global_role, of_yaml[1].name.as_str()), (Role::Maintainer, "ci@example.com"));
    }

    #[test]
    fn everything_that_is_wrong_is_counted() {
        let text = "Email,SSO,Global Role,Teams\na@b.c,true,,\nA@B.C,,owner,\n,,,1:admin\n";
        let users = of_table("u.csv", csv::read("u.csv", text).unwrap()).unwrap();
        assert_eq!(checked(&users).err().unwrap().to_string(), "5 problems, nothing was created");
        let table = |text| of_table("u.csv", csv::read("u.csv", text).unwrap()).err().unwrap().to_string();
        assert!(table("Email,Rolle\n").contains("unknown column \"Rolle\""));
        assert!(table("Name\nx\n").contains("no column Email"));
        assert_eq!(table("Email,SSO\na@b.c,maybe\n"), "1 problem, nothing was created");
        assert!(of_yaml("u.yml", "- {emial: x}\n").is_err());
    }

    #[test]
    fn leavers_are_addresses() {
        let of = |found: anyhow::Result<Vec<(String, String)>>| {
            found.unwrap().into_iter().map(|(_, email)| email).collect::<Vec<_>>()
        };
        let csv = csv::read("u.csv", "Why,EMAIL\nleft,a@b.c\n").unwrap();
        assert_eq!(of(emails_of_table("u.csv", csv)), ["a@b.c"]);
        assert_eq!(of(emails_of_yaml("u.yml", "- a@b.c\n- email: d@e.f\n")), ["a@b.c", "d@e.f"]);
    }
}
