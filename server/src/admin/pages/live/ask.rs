//! The page on which a live query is written, and the latest ones.

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::{FleetCount, LabelSummary, LiveQuery, LiveTargets, NewLiveQuery};

use super::{live_status, progress_line};
use crate::admin::AdminApi;
use crate::admin::pages::answer::{self, Page, PageAnswer, PageFailed};
use crate::admin::pages::forms::{FormFields, Posted};
use crate::admin::pages::parts::{ago, count, cut, shown};
use crate::admin::pages::visit::Visit;
use crate::fleet::access::Permission;
use crate::fleet::labels::Labels;
use crate::fleet::resource::Resource as _;
use crate::fleet::{Error, Fleet, Result};

/// Most labels to choose from.
const MAX_LABELS: usize = 300;

/// Latest live queries that are shown.
const LATEST: u64 = 30;

/// What stands in the form.
#[derive(Debug, Default, Clone)]
struct AskForm {
    sql: String,
    /// The name of a saved query that is run as it is.
    saved: String,
    all: bool,
    hosts: String,
    labels: Vec<String>,
    platforms: Vec<String>,
    minutes: String,
    rate: String,
    problems: Vec<String>,
}

impl AskForm {
    fn of(visit: &Visit) -> Self {
        let text = |name| visit.look.parameter(name).unwrap_or_default();
        let labels = text("label");
        Self {
            sql: text("sql"),
            saved: text("saved"),
            hosts: text("host"),
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
            labels: fields.all("label"),
            platforms: fields.all("platform"),
            minutes: fields.text("minutes").to_owned(),
            rate: fields.text("rate").to_owned(),
            problems: Vec::new(),
        }
    }

    fn request(&self) -> Result<NewLiveQuery> {
        let number = |name: &str, text: &str| match text {
            "" => Ok(None),
            text => {
                let number = text.parse::<u32>();
                number.map(Some).map_err(|_| Error::invalid(name, format!("{name} expects a whole number, not {text}")))
            }
        };
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let hosts = self.hosts.split([',', '\n', ' ']).map(str::trim).filter(|host| !host.is_empty());
        let targets = LiveTargets {
            all: self.all,
            hosts: hosts.map(str::to_owned).collect(),
            labels: self.labels.clone(),
            platforms: self.platforms.clone(),
            ..LiveTargets::default()
        };
        if targets == LiveTargets::default() {
            return Err(Error::invalid("targets", "choose hosts: all of them, labels, platforms or single hosts"));
        }
        let is_saved = !self.saved.is_empty();
        Ok(NewLiveQuery {
            query: if is_saved { None } else { some(&self.sql) },
            query_name: some(&self.saved),
            targets,
            deadline_seconds: number("minutes", &self.minutes)?.map(|minutes| u64::from(minutes) * 60),
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
}

async fn read(fleet: &Fleet, visit: &Visit) -> Result<AskChoices> {
    let by = &visit.principal;
    Ok(AskChoices {
        labels: Labels::of(fleet).summary(by).await?,
        kinds: fleet.hosts.counts_now(by).await?,
        latest: fleet.live.latest(by, LATEST).await?,
    })
}

pub(in crate::admin::pages) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let choices = read(&fleet, &visit).await?;
        Ok(Page::new("Live queries", show(&visit, &AskForm::of(&visit), &choices)))
    })
    .await
}

/// Starts a live query and goes to its page; shows the form again if something is wrong with it.
pub(in crate::admin::pages) async fn start(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let (visit, form) = (posted.visit, AskForm::sent(&posted.fields));
    let sent = form.clone();
    let (fleet, by) = (api.fleet.clone(), visit.principal.clone());
    let started = api.work.change(move || async move { fleet.live.start(&by, &sent.request()?).await }).await;
    match started {
        Ok(query) => Ok(answer::go_to(&visit.look.prefix, &format!("/live/{}", query.id)).finish()),
        Err(Error::Invalid(problems)) => {
            let problems = problems.into_iter().map(|problem| problem.reason).collect();
            let form = AskForm { problems, ..form };
            api.page_again(visit, |fleet, visit| async move {
                let choices = read(&fleet, &visit).await?;
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
    let may_ask_anything = visit.may(Permission::RunLiveQueries);
    let kinds = &choices.kinds;
    html! {
        form.card.stack action="live" method="post" {
            (visit.form_key.field())
            @for problem in &form.problems { p.problem role="alert" { (shown(problem)) } }
            @if !form.saved.is_empty() {
                p {
                    "Runs the saved query " strong { (cut(&form.saved, 120)) }
                    ". " a href="live" { "Write SQL instead" }
                }
                input type="hidden" name="saved" value=(form.saved);
            } @else if may_ask_anything {
                label { "SQL"
                    textarea.sql name="sql" rows="5" required spellcheck="false" autocapitalize="off" autocomplete="off"
                        placeholder="SELECT name, version FROM os_version" { (form.sql) }
                }
            } @else {
                p.muted {
                    "Your role runs saved queries that observers may run: choose one under " a href="queries" {
                        "Queries"
                    }
                    "."
                }
            }
            @if may_ask_anything || !form.saved.is_empty() {
                div.grid {
                    div.stack {
                        label.check {
                            input type="checkbox" name="all" value="true" checked[form.all];
                            "All " (count(kinds.online + kinds.offline)) " hosts, of which " (count(kinds.online)) " are online"
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
                                    (cut(platform, 40)) " (" (count(*hosts)) ")"
                                }
                            } }
                        }
                    }
                }
                div.row {
                    button.primary { "Run query" }
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
                    h2 { "No live query yet" }
                    p { "What was asked, by whom, and what came back stands here." }
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
