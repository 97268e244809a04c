//! Brings over what a database of Fleet holds: what hosts run, who may sign in, and the hosts with the keys of their agents.
//!
//! It works beside running nodes, as one more node that changes things: documents are applied like those of operators, and
//! hosts are written in transactions of a few hundred, with entries in the feed that every node reads. How far it is stands in
//! the database, so that an interrupted run goes on. A later run brings what has changed at Fleet since: of a host the later
//! state counts, and an object that somebody has changed here stays as it is, unless the caller wants it overwritten.

mod documents;
mod objects;
mod progress;
mod prune;
mod report;

use std::sync::Arc;

use muster_api::rest::{Action, Role};
use serde_json::json;

use self::documents::Converted;
use self::progress::ImportProgress;
pub use self::report::{ImportReport, LeftReport, SourceReport, UserFate, UserReport};
use super::access::{Access, ImportedUser, Permission, Principal, UserOutcome};
use super::apply::Applier;
use super::changes::ObjectKind;
use super::hosts::{HostImport, HostTally, ImportedLabel};
use super::schedule::{MAX_CONFIG_BYTES, Schedule};
use super::{Error, Result, specs};
use crate::bus::{ChangeEvent, Notifier};
use crate::clock::Clock;
use crate::store::entity::labels;
use crate::store::import_fleet::{FleetSchedule, FleetSource, FleetTeam, FleetUser};
use crate::store::{self, Store, WriteError, activities, settings};

/// Whom activities of an import name.
const IMPORTER: &str = "muster import-fleet";

/// Hosts in one transaction, so that none holds rows, or the one writer of SQLite, for long.
const BATCH: u64 = 256;

/// Hosts after which the operator is told of the progress.
const TOLD_EVERY: u64 = 10_000;

/// What an import is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportWish {
    /// Write nothing, and report what would be written.
    pub dry_run: bool,
    /// Also overwrite objects that were changed here.
    pub overwrite: bool,
}

/// What an import works with.
#[derive(Debug)]
pub struct Importer {
    pub store: Store,
    pub clock: Clock,
    pub schedule: Arc<Schedule>,
    pub applier: Applier,
    pub access: Access,
    pub notifier: Arc<dyn Notifier>,
}

/// Why the transaction of a batch of hosts is not committed.
enum Unwritten {
    Failed(store::Error),
    DryRun(HostTally),
}

impl From<store::Error> for Unwritten {
    fn from(error: store::Error) -> Self {
        Self::Failed(error)
    }
}

impl WriteError for Unwritten {
    fn is_lost_race(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_lost_race())
    }
}

impl Importer {
    /// Brings over what `source` holds, and tells of each step. Running it again goes on, or brings what has changed.
    ///
    /// # Errors
    /// [`Error::Invalid`] if nobody could sign in, [`Error::Unavailable`] and [`Error::Internal`] when one of the databases
    /// fails. What was brought before stays.
    pub async fn run(
        &self,
        source: &FleetSource,
        wish: ImportWish,
        mut announce: impl FnMut(&str),
    ) -> Result<ImportReport> {
        if !self.access.has_an_administrator().await? {
            return Err(Error::invalid(
                "users",
                "there is no administrator yet, and those of Fleet come without passwords: set the server up first, on its \
                 page or with `fleetctl setup`",
            ));
        }
        let principal = Principal::program(IMPORTER, self.clock.now());
        principal.may(Permission::ManageUsers)?;
        let schedule = source.schedule().await?;
        let teams = source.teams().await?;
        let (hosts, _) = source.count_hosts().await?;
        let mut report = ImportReport {
            dry_run: wish.dry_run,
            source: SourceReport {
                database: source.address().to_owned(),
                kind: source.kind().to_owned(),
                migration: source.migration(),
                hosts,
            },
            continued_after: None,
            objects: Vec::new(),
            kept: Vec::new(),
            users: Vec::new(),
            hosts: HostTally::default(),
            left: Vec::new(),
            notes: Vec::new(),
            next: Vec::new(),
        };
        let made = self.convert(source, &schedule, &teams).await?;
        let labels = made.labels.clone();
        self.objects(&principal, made, wish, &mut report).await?;
        announce("labels, queries, packs, options and secrets are through");
        self.users(&principal, &source.users().await?, wish, &mut report).await?;
        announce("users are through");
        let host_import = self.host_import(&schedule, labels.into_iter().collect()).await?;
        self.hosts(source, &host_import, wish, &mut report, &mut announce).await?;
        self.check_sizes(&mut report);
        for (left, number) in source.left_behind().await? {
            report.left.push(LeftReport { what: left.what.to_owned(), number, why: left.why.to_owned() });
        }
        if report.hosts.in_teams > 0 {
            report.notes.push(format!(
                "{} hosts are in teams at Fleet: here they get the agent options and packs that all hosts get",
                report.hosts.in_teams
            ));
        }
        report.next = next_steps(&source.config().await?.server_url, &report);
        if !wish.dry_run {
            self.record(&principal, &report).await?;
        }
        Ok(report)
    }

    async fn convert(&self, source: &FleetSource, schedule: &FleetSchedule, teams: &[FleetTeam]) -> Result<Converted> {
        let mut made = documents::of_schedule(schedule);
        let db = self.store.reader();
        let stored = settings::get(db, settings::APP_CONFIG).await?.unwrap_or_default();
        made.config(&source.config().await?, &specs::shown_config(&stored, self.schedule.built_in()));
        made.secrets(&source.secrets().await?, teams, &store::secrets::all(db).await?);
        Ok(made)
    }

    async fn users(
        &self,
        principal: &Principal,
        fleet: &[FleetUser],
        wish: ImportWish,
        report: &mut ImportReport,
    ) -> Result<()> {
        let mut coming = Vec::new();
        for user in fleet {
            match role(user) {
                Ok(role) => coming.push(ImportedUser {
                    email: user.email.clone(),
                    name: user.name.clone(),
                    role,
                    api_only: user.api_only,
                }),
                Err(why) => report.users.push(UserReport {
                    email: user.email.clone(),
                    role: None,
                    outcome: UserFate::Left,
                    note: why.to_owned(),
                }),
            }
        }
        let outcomes = self.access.import_users(principal, &coming, wish.dry_run).await?;
        for (user, outcome) in coming.into_iter().zip(outcomes) {
            let (outcome, note) = match outcome {
                UserOutcome::Created => (UserFate::Created, "without a password: give one".to_owned()),
                UserOutcome::There(role) if role == Some(user.role) => (UserFate::There, String::new()),
                UserOutcome::There(_) => (UserFate::There, "has another role here, which stays".to_owned()),
                UserOutcome::Refused(problems) => {
                    let reasons: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    (UserFate::Left, reasons.join("; "))
                }
            };
            report.users.push(UserReport { email: user.email, role: Some(user.role), outcome, note });
        }
        Ok(())
    }

    async fn host_import(&self, schedule: &FleetSchedule, names: Vec<(i64, (String, bool))>) -> Result<HostImport> {
        self.schedule.refresh().await?;
        let mut import = HostImport {
            labels: Default::default(),
            builtin: self.schedule.plan().builtin_labels().to_vec(),
            newest_label: schedule.labels.iter().map(|label| label.updated_at).max().unwrap_or_default(),
            now: self.clock.now(),
        };
        for (fleet_id, (name, is_manual)) in names {
            // It may have been refused.
            let Some(row) = store::named::by_name::<labels::Entity>(self.store.reader(), &name).await? else {
                continue;
            };
            let is_as_imported = is_manual && self.is_last_changed_by_import(ObjectKind::Label, row.id).await?;
            import.labels.insert(fleet_id, ImportedLabel { id: row.id, is_manual, is_as_imported });
        }
        Ok(import)
    }

    async fn hosts(
        &self,
        source: &FleetSource,
        import: &HostImport,
        wish: ImportWish,
        report: &mut ImportReport,
        announce: &mut impl FnMut(&str),
    ) -> Result<()> {
        let mut progress = ImportProgress::of(self.store.reader(), source.address()).await?;
        report.continued_after = Some(progress.after).filter(|after| *after > 0);
        loop {
            let page = source.hosts_after(progress.after, BATCH).await?;
            let Some(last) = page.hosts.last() else { break };
            let before = report.hosts.read;
            progress.after = last.id;
            let now = self.clock.now();
            let written = self
                .store
                .write_with_beside(async |tx| {
                    let tally = import.write(tx, &page).await?;
                    progress.write(tx, now).await?;
                    if wish.dry_run { Err(Unwritten::DryRun(tally)) } else { Ok(tally) }
                })
                .await;
            match written {
                Ok(tally) => {
                    report.hosts.add(tally);
                    self.notifier.publish(ChangeEvent::Hosts);
                }
                Err(Unwritten::DryRun(tally)) => report.hosts.add(tally),
                Err(Unwritten::Failed(error)) => return Err(error.into()),
            }
            if report.hosts.read / TOLD_EVERY > before / TOLD_EVERY {
                announce(&format!("{} of {} hosts are through", report.hosts.read, report.source.hosts));
            }
        }
        if !wish.dry_run {
            progress.after = 0;
            let now = self.clock.now();
            self.store.write(async |tx| progress.write(tx, now).await).await?;
        }
        Ok(())
    }

    /// Notes a config that agents could not load: it shows only once it is known which labels hosts have.
    fn check_sizes(&self, report: &mut ImportReport) {
        let plan = self.schedule.plan();
        let bytes =
            plan.largest_config(report.hosts.assignments.iter(), |assignment| plan.assemble(assignment).bytes.len());
        if bytes > MAX_CONFIG_BYTES {
            report.notes.push(format!(
                "some hosts' config has {bytes} bytes, and agents load at most {MAX_CONFIG_BYTES}: those hosts keep the config \
                 they have; split packs over labels or shorten queries"
            ));
        }
    }

    async fn record(&self, principal: &Principal, report: &ImportReport) -> Result<()> {
        let objects = report.objects.iter().filter(|change| change.action != Action::Unchanged).count();
        let users = report.users.iter().filter(|user| user.outcome == UserFate::Created).count();
        let hosts = &report.hosts;
        let details = json!({
            "source": report.source.database, "objects": objects, "users": users, "hosts_created": hosts.created,
            "hosts_changed": hosts.changed, "hosts_unchanged": hosts.unchanged, "node_keys": hosts.keys_added,
        });
        let now = self.clock.now();
        self.store
            .write(async |tx| {
                activities::add(tx, now, &principal.actor(), "imported_from_fleet", &details).await.map(drop)
            })
            .await?;
        Ok(())
    }
}

/// The role of a user here; or why the user stays behind.
fn role(user: &FleetUser) -> std::result::Result<Role, &'static str> {
    if user.enabled == Some(false) {
        return Err("is disabled at Fleet");
    }
    match (user.global_role.as_deref().filter(|role| !role.is_empty()), user.admin) {
        (Some("admin"), _) | (None, Some(true)) => Ok(Role::Admin),
        // Those who were no administrators might do all but manage users and settings.
        (Some("maintainer"), _) | (None, Some(false)) => Ok(Role::Maintainer),
        (Some("observer" | "observer_plus"), _) => Ok(Role::Observer),
        (Some(_), _) => Err("has a role that is not known here; create the user with another one"),
        (None, None) => {
            Err("has roles in teams alone, and there are no teams here; create the user with a role for all hosts")
        }
    }
}

/// What the operator has yet to do.
fn next_steps(server_url: &str, report: &ImportReport) -> Vec<String> {
    let host = server_url.split_once("://").map_or(server_url, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().filter(|host| !host.is_empty()).unwrap_or("the name that agents call");
    let mut steps = vec![
        format!(
            "agents trust the certificate that {host} shows now, by the file of their --tls_server_certs: give Muster the same \
             certificate and key (server.cert, server.key; at Fleet FLEET_SERVER_CERT and FLEET_SERVER_KEY, or those of the \
             load balancer), or one of the same CA for {host}, with its intermediate certificates"
        ),
        "set osquery.host_identifier as at Fleet (FLEET_OSQUERY_HOST_IDENTIFIER), so that hosts that enroll again are known"
            .to_owned(),
    ];
    if report.users.iter().any(|user| user.outcome == UserFate::Created) {
        steps.push(
            "give each new user a password: on the page of users, or `PATCH users/{id}` with new_password".to_owned(),
        );
    }
    steps.push(format!(
        "to switch: stop Fleet, run this import once more for what has changed since, and point the name {host} to Muster"
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(global_role: Option<&str>, admin: Option<bool>, enabled: Option<bool>) -> FleetUser {
        FleetUser {
            id: 1,
            email: "a@example.com".to_owned(),
            name: String::new(),
            global_role: global_role.map(str::to_owned),
            admin,
            enabled,
            sso_enabled: false,
            api_only: false,
        }
    }

    #[test]
    fn no_user_gets_more_rights_than_at_fleet() {
        for (of, expected) in [
            (user(Some("admin"), None, None), Some(Role::Admin)),
            (user(Some("maintainer"), None, None), Some(Role::Maintainer)),
            (user(Some("observer_plus"), None, None), Some(Role::Observer)),
            (user(Some("gitops"), None, None), None),
            (user(None, None, None), None),
            (user(None, Some(true), Some(true)), Some(Role::Admin)),
            (user(None, Some(false), Some(true)), Some(Role::Maintainer)),
            (user(None, Some(true), Some(false)), None),
        ] {
            assert_eq!(role(&of).ok(), expected, "{of:?}");
        }
    }
}
