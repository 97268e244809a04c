//! The page on which a live query is written, and the latest ones.

use std::time::Duration;

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::{FleetCount, LabelSummary, LiveQuery, LiveTargets, NewLiveQuery};

use super::{live_status, progress_line};
use crate::admin::AdminApi;
use crate::admin::pages::answer::{self, Page, PageAnswer, PageFailed};
use crate::admin::pages::forms::{FormFields, Posted, send_button};
use crate::admin::pages::parts::{CodeField, CodeLanguage, ago, code_field, count as count_of, cut, plural, shown};
use crate::admin::pages::visit::{Glance, Visit};
use crate::fleet::access::Permission;
use crate::fleet::hosts::OnlineTally;
use crate::fleet::labels::Labels;
use crate::fleet::queries::Queries;
use crate::fleet::resource::Resource as _;
use crate::fleet::{Error, Fleet, Problem, Result};

/// Most labels to choose from.
const MAX_LABELS: usize = 300;

/// Most names of hosts, labels and platforms that are counted together, and problems with them that are told.
pub(super) const MAX_COUNTED: usize = 500;
const MAX_PROBLEMS: usize = 5;

/// Latest live queries that are shown.
const LATEST: u64 = 30;

/// Paths of problems, without the number in a list, and what the form calls their fields.
const FIELDS: [(&str, &str); 9] = [
    ("query_name", "Saved query"),
    ("query", "SQL"),
    ("targets.all", "All hosts"),
    ("targets.hosts", "Single hosts"),
    ("targets.host_ids", "Selected hosts"),
    ("targets.labels", "Labels"),
    ("targets.platforms", "Platforms"),
    ("deadline_seconds", "Deadline in minutes"),
    ("rate", "Hosts a second"),
];

/// Ends of problems that lead to a list in a terminal, and the page with the same list.
const LISTS: [(&str, &str, &str); 2] =
    [("; see `fleetctl get hosts`", "hosts", "Hosts"), ("; see `fleetctl get labels`", "labels", "Labels")];

/// What stands in the form.
#[derive(Debug, Default, Clone)]
pub(super) struct AskForm {
    sql: String,
    /// The name of a saved query that is run as it is.
    saved: String,
    all: bool,
    hosts: String,
    /// Hosts that were chosen elsewhere: what they call themselves may be the name of another one.
    host_ids: Vec<i64>,
    labels: Vec<String>,
    platforms: Vec<String>,
    minutes: String,
    rate: String,
    problems: Vec<Problem>,
    /// How many hosts would be asked, if that was wanted.
    count: Option<OnlineTally>,
}

impl AskForm {
    fn of(visit: &Visit) -> Self {
        let text = |name| visit.look.parameter(name).unwrap_or_default();
        let labels = text("label");
        Self {
            sql: text("sql"),
            saved: text("saved"),
            hosts: text("hosts"),
            host_ids: numbers(&visit.look.parameters("host_id")),
            all: text("all") == "true",
            labels: if labels.is_empty() { Vec::new() } else { vec![labels] },
            ..Self::default()
        }
    }

    fn sent(fields: &FormFields) -> Self {
        Self {
            sql: fields.text("sql").to_owned(),
            saved: fields.text("saved").to_owned(),
            all: fields.text("all") == "true",
            hosts: fields.text("hosts").to_owned(),
            host_ids: numbers(&fields.all("host_id")),
            labels: fields.all("label"),
            platforms: fields.all("platform"),
            minutes: fields.text("minutes").to_owned(),
            rate: fields.text("rate").to_owned(),
            ..Self::default()
        }
    }

    /// What is chosen in an address.
    pub(super) fn chosen(visit: &Visit) -> Self {
        let text = |name| visit.look.parameter(name).unwrap_or_default();
        Self {
            all: text("all") == "true",
            hosts: text("hosts"),
            host_ids: numbers(&visit.look.parameters("host_id")),
            labels: visit.look.parameters("label"),
            platforms: visit.look.parameters("platform"),
            ..Self::default()
        }
    }

    pub(super) fn targets(&self) -> LiveTargets {
        let hosts = self.hosts.split([',', '\n']).map(str::trim).filter(|host| !host.is_empty());
        LiveTargets {
            all: self.all,
            hosts: hosts.map(str::to_owned).collect(),
            host_ids: self.host_ids.clone(),
            labels: self.labels.clone(),
            platforms: self.platforms.clone(),
            ..LiveTargets::default()
        }
    }

    /// The live query that the form asks for, with a deadline of `max_deadline` at most.
    fn request(&self, max_deadline: Duration) -> Result<NewLiveQuery> {
        let number = |path: &str, text: &str| match text {
            "" => Ok(None),
            text => {
                let number = text.parse::<u32>();
                number.map(Some).map_err(|_| Error::invalid(path, format!("expects a whole number, not {text}")))
            }
        };
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let is_saved = !self.saved.is_empty();
        if !is_saved && self.sql.is_empty() {
            return Err(Error::invalid("query", "Write a query."));
        }
        let targets = self.targets();
        if targets == LiveTargets::default() {
            return Err(Error::invalid("targets", "choose hosts: all of them, labels, platforms or single hosts"));
        }
        let minutes = number("deadline_seconds", &self.minutes)?.map(u64::from);
        // The server refuses a minute, in seconds, where even that is too long.
        let most = (max_deadline.as_secs() / 60).max(1);
        if minutes.is_some_and(|minutes| minutes == 0 || minutes > most) {
            return Err(Error::invalid("deadline_seconds", format!("expects 1 to {most} (live.max_deadline)")));
        }
        Ok(NewLiveQuery {
            query: if is_saved { None } else { some(&self.sql) },
            query_name: some(&self.saved),
            targets,
            deadline_seconds: minutes.map(|minutes| minutes * 60),
            rate: number("rate", &self.rate)?,
            ..NewLiveQuery::default()
        })
    }
}

/// What can be chosen, and what was asked before.
struct AskChoices {
    labels: Vec<LabelSummary>,
    kinds: FleetCount,
    latest: Vec<LiveQuery>,
    /// Ids and names of the hosts that were chosen elsewhere.
    chosen: Vec<(i64, String)>,
    /// Whether there is a query that the visitor may run.
    has_queries: bool,
}

fn numbers(texts: &[String]) -> Vec<i64> {
    texts.iter().filter_map(|text| text.parse().ok()).take(MAX_COUNTED).collect()
}

async fn read(fleet: &Fleet, visit: &Visit, form: &AskForm) -> Result<AskChoices> {
    let by = &visit.principal;
    Ok(AskChoices {
        labels: Labels::of(fleet).summary(by).await?,
        kinds: fleet.hosts.counts_now(by).await?,
        latest: fleet.live.latest(by, LATEST).await?,
        chosen: fleet.hosts.names(by, &form.host_ids).await?,
        has_queries: visit.has(Permission::RunLiveQueries) || Queries::of(fleet).has_for_observers(by).await?,
    })
}

/// The form, or one for SQL with a problem if there is no such saved query.
async fn with_known_query(fleet: &Fleet, visit: &Visit, form: AskForm) -> Result<AskForm> {
    if form.saved.is_empty() {
        return Ok(form);
    }
    match fleet.specs.query(&visit.principal, &form.saved).await {
        Ok(_) => Ok(form),
        Err(Error::NotFound { .. }) => {
            let problem = Problem::new("query_name", format!("there is no query {}", form.saved));
            Ok(AskForm { saved: String::new(), problems: vec![problem], ..form })
        }
        Err(error) => Err(error),
    }
}

pub(in crate::admin::pages) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let form = with_known_query(&fleet, &visit, AskForm::of(&visit)).await?;
        let choices = read(&fleet, &visit, &form).await?;
        Ok(Page::new("Live queries", show(&visit, &form, &choices)))
    })
    .await
}

/// How many hosts are chosen, while one chooses.
pub(in crate::admin::pages) async fn targets(api: Data<AdminApi>, Glance(visit): Glance) -> PageAnswer {
    api.part(visit, |fleet, visit| async move {
        let form = count(&fleet, &visit, AskForm::chosen(&visit)).await?;
        Ok(targets_line(&form))
    })
    .await
}

/// How many names targets have.
pub(super) fn named(targets: &LiveTargets) -> usize {
    targets.hosts.len() + targets.host_ids.len() + targets.labels.len() + targets.platforms.len()
}

/// Counts the hosts that a form chooses; what nobody knows of them is a problem of the form.
async fn count(fleet: &Fleet, visit: &Visit, form: AskForm) -> Result<AskForm> {
    let targets = form.targets();
    if named(&targets) > MAX_COUNTED {
        let reason = format!("more than {MAX_COUNTED} names are counted only when the query runs");
        return Ok(AskForm { problems: vec![Problem::new("targets", reason)], ..form });
    }
    match fleet.live.count_targets(&visit.principal, &targets).await {
        Ok(tally) => Ok(AskForm { count: Some(tally), ..form }),
        Err(Error::Invalid(mut problems)) => {
            problems.truncate(MAX_PROBLEMS);
            Ok(AskForm { problems, ..form })
        }
        Err(error) => Err(error),
    }
}

/// A problem, behind the name of its field.
fn problem_text(problem: &Problem) -> Markup {
    let is_at = |path: &str| problem.path.split('[').next() == Some(path);
    let field = FIELDS.iter().find(|(path, _)| is_at(path)).map(|(_, field)| *field);
    let list = LISTS.iter().find_map(|(end, page, name)| Some((problem.reason.strip_suffix(*end)?, page, name)));
    html! {
        @if let Some(field) = field { (field) ": " }
        @match list {
            Some((reason, page, name)) => { (shown(reason)) "; see " a href=(page) { (name) } },
            None => (shown(&problem.reason)),
        }
    }
}

/// How many hosts are chosen, or why nobody knows.
fn targets_line(form: &AskForm) -> Markup {
    html! {
        output.targets #targets data-count="live/targets" {
            @if !form.problems.is_empty() {
                @for problem in &form.problems { span.problem { (problem_text(problem)) } " " }
            } @else if let Some(tally) = form.count {
                strong { (plural(tally.total, "host", "hosts")) " chosen" }
                @if tally.total > 0 {
                    span { (count_of(tally.online)) " online" }
                    @if tally.offline > 0 { span.muted { (count_of(tally.offline)) " offline, asked when they return until the deadline" } }
                    @if tally.missing > 0 { span.muted { (count_of(tally.missing)) " of them not seen for 30 days" } }
                }
            }
        }
    }
}

/// Starts a live query and goes to its page; counts the hosts if that is asked for; shows the form again if something is wrong with it.
pub(in crate::admin::pages) async fn start(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let (visit, form) = (posted.visit, AskForm::sent(&posted.fields));
    if !posted.fields.text("count").is_empty() {
        return api
            .page(visit, |fleet, visit| async move {
                let (choices, form) = (read(&fleet, &visit, &form).await?, count(&fleet, &visit, form).await?);
                Ok(Page::new("Live queries", show(&visit, &form, &choices)))
            })
            .await;
    }
    let sent = form.clone();
    let (fleet, by, max_deadline) = (api.fleet.clone(), visit.principal.clone(), api.fleet.live.max_deadline());
    let started =
        api.work.change(move || async move { fleet.live.start(&by, &sent.request(max_deadline)?).await }).await;
    match started {
        Ok(query) => Ok(answer::go_to(&visit.look.prefix, &format!("/live/{}", query.id)).finish()),
        Err(Error::Invalid(problems)) => {
            let form = AskForm { problems, ..form };
            api.page_again(visit, |fleet, visit| async move {
                let form = with_known_query(&fleet, &visit, form).await?;
                let choices = read(&fleet, &visit, &form).await?;
                Ok(Page::new("Live queries", show(&visit, &form, &choices)))
            })
            .await
        }
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}

fn show(visit: &Visit, form: &AskForm, choices: &AskChoices) -> Markup {
    html! {
        div.title {
            div {
                h1 { "Live queries" }
                p.state { "Ask hosts now. Hosts that are offline answer when they return, until the deadline." }
            }
        }
        (ask(visit, form, choices))
        (latest(visit, &choices.latest))
    }
}

fn ask(visit: &Visit, form: &AskForm, choices: &AskChoices) -> Markup {
    let may_ask_anything = visit.has(Permission::RunLiveQueries);
    let kinds = &choices.kinds;
    html! {
        form.card.stack action="live" method="post" data-ask {
            (visit.form_key.field())
            @for problem in &form.problems { p.problem role="alert" { (problem_text(problem)) } }
            @if !form.saved.is_empty() {
                p {
                    "Runs the saved query " strong { (cut(&form.saved, 120)) } "."
                    @if may_ask_anything { " " a href="live" { "Write SQL instead" } }
                }
                input type="hidden" name="saved" value=(form.saved);
            } @else if may_ask_anything {
                (code_field(&CodeField {
                    language: CodeLanguage::Sql,
                    name: "sql",
                    label: "SQL",
                    rows: 5,
                    example: "SELECT name, version FROM os_version",
                    text: &form.sql,
                    problem: None,
                }))
            } @else {
                p.muted {
                    @if choices.has_queries {
                        "Your role runs saved queries that observers may run: choose one under " a href="queries" {
                            "Queries"
                        }
                        "."
                    } @else {
                        "Your role runs saved queries that observers may run, and there is none yet. A maintainer can allow one."
                    }
                }
            }
            @if may_ask_anything || !form.saved.is_empty() {
                div.grid {
                    div.stack {
                        label.check {
                            input type="checkbox" name="all" value="true" checked[form.all];
                            "All " (count_of(kinds.online + kinds.offline)) " hosts, of which " (count_of(kinds.online)) " are online"
                        }
                        @if !choices.chosen.is_empty() {
                            fieldset.chosen { legend { "Selected hosts" }
                                @for (id, name) in &choices.chosen {
                                    label.check { input type="checkbox" name="host_id" value=(id) checked; (cut(name, 80)) }
                                }
                            }
                        }
                        label { "Single hosts"
                            input name="hosts" value=(form.hosts) placeholder="Host names or UUIDs, with commas between" autocomplete="off";
                        }
                        div.row {
                            label {
                                "Deadline in minutes" input type="number" name="minutes" value=(form.minutes) min="1" placeholder="usual";
                            }
                            label {
                                "Hosts a second" input type="number" name="rate" value=(form.rate) min="0" placeholder="usual";
                            }
                        }
                    }
                    div.grid {
                        label { "Labels" span.hint { "any of them" }
                            select name="label" multiple size="7" { @for label in choices.labels.iter().take(MAX_LABELS) {
                                option value=(label.name) selected[form.labels.contains(&label.name)] {
                                    (cut(&label.name, 60))
                                }
                            } }
                        }
                        label { "Platforms" span.hint { "any of them" }
                            select name="platform" multiple size="7" { @for (platform, hosts) in kinds.platforms.iter().filter(|(platform, _)| !platform.is_empty()) {
                                option value=(platform) selected[form.platforms.contains(platform)] {
                                    (cut(platform, 40)) " (" (count_of(*hosts)) ")"
                                }
                            } }
                        }
                    }
                }
                (targets_line(form))
                div.row {
                    (send_button(visit, Permission::RunLiveQueries, "Run query"))
                    button name="count" value="true" formnovalidate { "Count hosts" }
                    span.hint {
                        "A host is asked if it is in one of the labels and of one of the platforms; single hosts are asked in any case."
                    }
                }
            }
        }
    }
}

fn latest(visit: &Visit, latest: &[LiveQuery]) -> Markup {
    html! {
        section.card.flush {
            div.card-head { h2 { "Asked before" } }
            @if latest.is_empty() {
                div.empty {
                    @if visit.has(Permission::RunLiveQueries) {
                        h2 { "No live query yet" }
                        p { "What was asked, by whom, and what came back stands here." }
                    } @else {
                        h2 { "You have not asked anything yet" }
                        p { "What you asked, and what came back stands here." }
                    }
                }
            } @else {
                div.scroll { table.page-table {
                    thead {
                        tr {
                            th { "Query" }
                            th { "State" }
                            th.wide-only { "Hosts" }
                            th.wide-only { "By" }
                            th.wide-only { "When" }
                        }
                    }
                    tbody { @for query in latest { tr {
                        td.name { a href={ "live/" (query.id) } { code { (cut(&query.query, 80)) } } }
                        td { (live_status(query)) }
                        td.wide-only { (progress_line(query)) }
                        td.wide-only { (cut(&query.author_email, 40)) }
                        td.wide-only { (ago(query.created_at, visit.look.now)) }
                    } } }
                } }
            }
        }
    }
}
