//! Plans that the server keeps.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use muster_api::rest::{ListedPlan, PlanList, ShownPlan, ShownPlanEnvelope};

use super::render;
use crate::commands::ClientSession;
use crate::rest::RestClient;
use crate::{output, table};

#[derive(Subcommand)]
pub enum Command {
    /// List the plans that can be applied, the latest first
    #[command(after_help = example!("Find the plan of a colleague", "fleetctl plan list"))]
    List,
    /// Show a plan as whoever made it has seen it, and whether it is still good
    #[command(after_help = example!("Look at a plan before it is applied", "fleetctl plan show 7"))]
    Show {
        /// The id of the plan
        #[arg(value_name = "ID")]
        id: i64,
    },
}

pub async fn run(session: &ClientSession, command: Command) -> anyhow::Result<()> {
    let server = session.authenticated().await?;
    match command {
        Command::List => list(&server).await,
        Command::Show { id } => {
            let shown = server.get::<ShownPlanEnvelope>(&format!("spec/plans/{id}")).await?;
            output::data(&show(&shown.plan))
        }
    }
}

async fn list(server: &RestClient) -> anyhow::Result<()> {
    let plans = server.get::<PlanList>("spec/plans").await?.plans;
    if plans.is_empty() {
        output::note("No plan can be applied; make one with fleetctl plan -f");
        return Ok(());
    }
    let row = |plan: &ListedPlan| {
        let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let summary = plan.summary.as_ref();
        vec![
            plan.id.to_string(),
            output::printable(&plan.author),
            moment(plan.created_at),
            moment(plan.expires_at),
            number(summary.map(|summary| summary.created)),
            number(summary.map(|summary| summary.changed)),
            number(summary.map(|summary| summary.deleted)),
            number(summary.and_then(|summary| summary.hosts)),
        ]
    };
    let columns = ["id", "author", "created_at", "expires_at", "created", "changed", "deleted", "hosts"];
    output::data(&table::grid(&columns, plans.iter().map(row)))
}

fn show(ShownPlan { plan, applied, is_good, refusals }: &ShownPlan) -> String {
    let mut text = match applied {
        Some(applied) => render(applied),
        None => "what it changes is not kept: a server of an older version has made this plan\n".to_owned(),
    };
    for warning in applied.iter().flat_map(|applied| &applied.warnings) {
        text += &output::printable(&format!("warning: {}: {}\n", warning.name, warning.reason));
    }
    let forced = if plan.force { ", with agent options that have mistakes (--force)" } else { "" };
    let author = output::printable(&plan.author);
    text += &format!("plan {} by {author}, made {}{forced}\n", plan.id, moment(plan.created_at));
    if *is_good {
        let until = moment(plan.expires_at);
        text += &format!("still good, until {until}; apply it with: fleetctl apply --plan {}\n", plan.id);
    }
    for refusal in refusals {
        text += &output::printable(&format!("no longer good: {}: {}\n", refusal.name, refusal.reason));
    }
    text
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use muster_api::rest::{Action, Applied, Change, FieldError};

    use super::*;

    #[test]
    fn a_plan_is_shown_with_what_speaks_against_it() {
        let change =
            Change { kind: "query".to_owned(), name: "q".to_owned(), action: Action::Created, ..Change::default() };
        let problem = |name: &str, reason: &str| FieldError { name: name.to_owned(), reason: reason.to_owned() };
        let plan = ListedPlan { id: 7, author: "a@example.com\x1b".to_owned(), ..ListedPlan::default() };
        let applied = Applied {
            dry_run: true,
            changes: vec![change],
            warnings: vec![problem("documents[0].spec.query", "is doubtful")],
            ..Applied::default()
        };
        let mut shown = ShownPlan { plan, applied: Some(applied), is_good: true, refusals: Vec::new() };
        assert_eq!(
            show(&shown),
            "[+] would've applied 1 query (1 created)\n    \
             created query \"q\"\n\
             plan: 1 created, 0 changed, 0 deleted, 0 unchanged\n\
             hosts: not counted, because the server still reads them\n\
             warning: documents[0].spec.query: is doubtful\n\
             plan 7 by a@example.com\u{fffd}, made 1970-01-01T00:00:00Z\n\
             still good, until 1970-01-01T00:00:00Z; apply it with: fleetctl apply --plan 7\n"
        );
        shown.is_good = false;
        shown.refusals.push(problem("plan", "plan 7 is out of date"));
        shown.applied = None;
        shown.plan.force = true;
        assert_eq!(
            show(&shown),
            "what it changes is not kept: a server of an older version has made this plan\n\
             plan 7 by a@example.com\u{fffd}, made 1970-01-01T00:00:00Z, with agent options that have mistakes (--force)\n\
             no longer good: plan: plan 7 is out of date\n"
        );
    }
}
