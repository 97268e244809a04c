//! Saving, editing and deleting a query. An edit is shown as a difference before it is saved.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::QueryInput;

use crate::admin::AdminApi;
use crate::admin::pages::answer::{Page, PageAnswer, PageFailed, go_to};
use crate::admin::pages::forms::{FormFields, Posted, send_button};
use crate::admin::pages::parts::{
    CodeField, CodeLanguage, DiffRoom, code_field, count, cut, field_diffs, hidden_warning, plural, shown,
};
use crate::admin::pages::visit::{PageId, Visit};
use crate::fleet::access::Permission;
use crate::fleet::queries::{Queries, QueryEdit};
use crate::fleet::resource::Resource as _;
use crate::fleet::{Error, Problem};

/// Packs that are named before an edit is saved.
const PACKS: usize = 12;

/// What stands in the form.
#[derive(Debug, Default, Clone)]
struct QueryForm {
    name: String,
    description: String,
    sql: String,
    observers: bool,
    /// The mark of what was stored when the form was written.
    mark: String,
    problems: Vec<Problem>,
}

impl QueryForm {
    fn sent(fields: &FormFields) -> Self {
        Self {
            name: fields.text("name").to_owned(),
            description: fields.lines("description"),
            sql: fields.lines("sql"),
            observers: fields.text("observers") == "true",
            mark: fields.text("mark").to_owned(),
            problems: Vec::new(),
        }
    }

    fn input(&self) -> QueryInput {
        QueryInput {
            name: Some(self.name.clone()),
            query: Some(self.sql.clone()),
            description: Some(self.description.clone()),
            observer_can_run: Some(self.observers),
        }
    }

    /// The form with what is wrong with it; an error that no form explains comes back.
    fn with(mut self, error: Error) -> Result<Self, Error> {
        self.problems = match error {
            Error::Invalid(problems) => problems,
            error @ Error::AlreadyExists { .. } => vec![Problem::new("name", error.to_string())],
            error => return Err(error),
        };
        Ok(self)
    }

    fn hidden(&self) -> Markup {
        html! {
            input type="hidden" name="name" value=(self.name);
            input type="hidden" name="description" value=(self.description);
            input type="hidden" name="sql" value=(self.sql);
            @if self.observers { input type="hidden" name="observers" value="true"; }
            input type="hidden" name="mark" value=(self.mark);
        }
    }
}

/// The page with the form; `id` is that of a query that is edited.
fn form_page(visit: &Visit, id: Option<i64>, form: &QueryForm) -> Page {
    let title = if id.is_some() { "Edit query" } else { "New query" };
    let problem_of = |path: &str| {
        let found = form.problems.iter().find(|problem| problem.path == path);
        found.map(|problem| problem.reason.as_str())
    };
    let problem = |path: &str| html! { @if let Some(reason) = problem_of(path) { span.problem { (shown(reason)) } } };
    let is_beside = |problem: &&Problem| ["name", "query", "description"].contains(&problem.path.as_str());
    let action = id.map_or_else(|| "queries/new".to_owned(), |id| format!("queries/{id}/edit"));
    let main = html! {
        div.title { div { p.crumb { a href="queries/saved" { "Saved queries" } } h1 { (title) } } }
        form.card.stack action=(action) method="post" {
            (visit.form_key.field())
            input type="hidden" name="mark" value=(form.mark);
            @for problem in form.problems.iter().filter(|problem| !is_beside(problem)) {
                p.problem role="alert" { (shown(&problem.reason)) }
            }
            (hidden_warning(&[&form.name, &form.sql, &form.description]))
            label { "Name" input name="name" value=(form.name) autocomplete="off" required maxlength="255"; (problem("name")) }
            (code_field(&CodeField {
                language: CodeLanguage::Sql,
                name: "sql",
                label: "SQL",
                rows: 10,
                example: "SELECT name, version FROM os_version",
                text: &form.sql,
                problem: problem_of("query"),
            }))
            label { "Description"
                textarea name="description" rows="2" { "\n" (form.description) }
                (problem("description"))
            }
            label.check {
                input type="checkbox" name="observers" value="true" checked[form.observers];
                "Observers may run it as a live query"
            }
            div.row {
                @if let Some(id) = id {
                    button.primary name="step" value="review" { "Review changes" }
                    a.button href={ "queries/" (id) } { "Cancel" }
                } @else {
                    (send_button(visit, Permission::WriteSchedule, "Save query"))
                    a.button href="queries/saved" { "Cancel" }
                }
            }
        }
    };
    Page::new(title, main)
}

/// A form for a new query; the address may have its SQL.
pub(in crate::admin::pages) async fn new_page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |_, visit| async move {
        visit.principal.may(Permission::WriteSchedule)?;
        let sql = visit.look.parameter("sql").unwrap_or_default();
        Ok(form_page(&visit, None, &QueryForm { sql, ..QueryForm::default() }))
    })
    .await
}

pub(in crate::admin::pages) async fn create(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let (visit, form) = (posted.visit, QueryForm::sent(&posted.fields));
    let (fleet, by, input) = (api.fleet.clone(), visit.principal.clone(), form.input());
    let created = api.work.change(move || async move { Queries::of(&fleet).create(&by, &input).await }).await;
    match created {
        Ok(made) => Ok(go_to(&visit.look.prefix, &format!("/queries/{}?notice=saved", made.view.id)).finish()),
        Err(error) => again(&api, visit, None, form, error).await,
    }
}

pub(in crate::admin::pages) async fn edit_page(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let stored = Queries::of(&fleet).to_edit(&visit.principal, *id).await?;
        let form = QueryForm {
            name: stored.spec.name,
            description: stored.spec.description,
            sql: stored.spec.query,
            observers: stored.spec.observer_can_run,
            mark: stored.mark,
            problems: Vec::new(),
        };
        Ok(form_page(&visit, Some(*id), &form))
    })
    .await
}

/// Shows what an edit would change, saves it, or goes back to the form, as the button says.
pub(in crate::admin::pages) async fn edit(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    let (visit, form) = (posted.visit, QueryForm::sent(&posted.fields));
    match posted.fields.text("step") {
        "edit" => {
            api.page(visit, move |_, visit| async move {
                visit.principal.may(Permission::WriteSchedule)?;
                Ok(form_page(&visit, Some(*id), &form))
            })
            .await
        }
        "save" => {
            let (fleet, by, sent) = (api.fleet.clone(), visit.principal.clone(), form.clone());
            let save = move || async move { Queries::of(&fleet).edit_seen(&by, *id, &sent.input(), &sent.mark).await };
            match api.work.change(save).await {
                Ok(()) => Ok(go_to(&visit.look.prefix, &format!("/queries/{id}?notice=saved")).finish()),
                Err(Error::ChangedMeanwhile(_)) => review(&api, visit, *id, form, StatusCode::CONFLICT).await,
                Err(error) => again(&api, visit, Some(*id), form, error).await,
            }
        }
        _ => review(&api, visit, *id, form, StatusCode::OK).await,
    }
}

/// The form once more, with what is wrong with it. What was typed is never lost: of a query that is gone, it becomes a new one.
async fn again(api: &AdminApi, visit: Visit, id: Option<i64>, form: QueryForm, error: Error) -> PageAnswer {
    let (id, form) = match (id, error) {
        (Some(_), Error::NotFound { .. }) => {
            let gone = "The query was deleted meanwhile. Save what stands here as a new one, or cancel.";
            (None, Ok(QueryForm { problems: vec![Problem::new("base", gone)], ..form }))
        }
        (id, error) => (id, form.with(error)),
    };
    match form {
        Ok(form) => api.page_again(visit, move |_, visit| async move { Ok(form_page(&visit, id, &form)) }).await,
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}

/// What would change, before it is saved.
async fn review(api: &AdminApi, visit: Visit, id: i64, form: QueryForm, status: StatusCode) -> PageAnswer {
    let (fleet, by, input) = (api.fleet.clone(), visit.principal.clone(), form.input());
    let edit = api.work.change(move || async move { Queries::of(&fleet).preview(&by, id, &input).await }).await;
    match edit {
        Ok(edit) => {
            api.page_as(status, visit, move |_, visit| async move { Ok(review_page(&visit, id, form, &edit)) }).await
        }
        Err(error) => again(api, visit, Some(id), form, error).await,
    }
}

fn review_page(visit: &Visit, id: i64, form: QueryForm, edit: &QueryEdit) -> Page {
    let has_conflict = form.mark != edit.stored.mark;
    // Whoever saves from here has seen what is stored now.
    let form = QueryForm { mark: edit.stored.mark.clone(), ..form };
    let main = html! {
        div.title { div {
            p.crumb { a href={ "queries/" (id) } { (cut(&edit.stored.spec.name, 80)) } }
            h1 { "Review changes" }
            p.state { (touched(edit)) }
        } }
        @if has_conflict {
            p.warning role="alert" {
                "Somebody else has changed this query since you opened it. Nothing of yours is lost or saved yet: below is how it "
                "differs from what is stored now. " a href={ "queries/" (id) "/history" } { "See what was changed" } "."
            }
        }
        @for warning in &edit.warnings { p.warning { (shown(&warning.reason)) } }
        section.card {
            h2 { "What changes" }
            @if edit.changed.is_empty() { p.muted { "Nothing: the query is stored like this already." } }
            @else { (field_diffs(&edit.changed, &mut DiffRoom::of_page())) }
        }
        form.row action={ "queries/" (id) "/edit" } method="post" {
            (visit.form_key.field())
            (form.hidden())
            @if !edit.changed.is_empty() { button.primary name="step" value="save" { "Save changes" } }
            button name="step" value="edit" { "Edit further" }
            a.button href={ "queries/" (id) } { "Discard" }
        }
    };
    Page::new("Review changes", main)
}

/// What an edit touches, in a sentence.
fn touched(edit: &QueryEdit) -> Markup {
    let sql = edit.changed.fields.iter().any(|field| field.field == "query" || field.field == "name");
    html! {
        @if edit.packs.is_empty() { "No pack schedules it, so no host gets anything else." } @else {
            (plural(edit.packs.len() as u64, "pack schedules", "packs schedule")) " it: "
            @for (number, pack) in edit.packs.iter().take(PACKS).enumerate() {
                @if number > 0 { ", " } (cut(pack, 60))
            }
            @if edit.packs.len() > PACKS { " and " (edit.packs.len() - PACKS) " more" }
            ". "
            @match (sql, edit.hosts) {
                (true, Some(hosts)) => { (plural(hosts, "host gets", "hosts get")) " the change with the next config." },
                (true, None) => "The hosts of these packs get the change with their next config.",
                (false, _) => "Hosts run the same SQL as before.",
            }
        }
    }
}

/// Asks whether to delete a query, and says what stands against it.
pub(in crate::admin::pages) async fn delete_page(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let queries = Queries::of(&fleet);
        let query = queries.to_edit(&visit.principal, *id).await?;
        let (packs, hosts) = queries.used_by(&visit.principal, *id).await?;
        let main = html! {
            div.card {
                h1 { "Delete the query " (cut(&query.spec.name, 120)) "?" }
                @if packs.is_empty() {
                    p { "No pack schedules it. Its SQL stays in the history of activities; live queries that ran stay, too." }
                    form.row action={ "queries/" (id) "/delete" } method="post" {
                        (visit.form_key.field())
                        button.danger { "Delete 1 query" }
                        a.button href={ "queries/" (id) } { "Keep" }
                    }
                } @else {
                    p {
                        (plural(packs.len() as u64, "pack schedules", "packs schedule")) " it"
                        @if let Some(hosts) = hosts { " on up to " (count(hosts)) " hosts" }
                        ", so it cannot be deleted. Remove it there first: "
                        @for (number, pack) in packs.iter().take(PACKS).enumerate() {
                            @if number > 0 { ", " } (cut(pack, 60))
                        }
                        "."
                    }
                    p { a.button href={ "queries/" (id) } { "Back" } }
                }
            }
        };
        Ok(Page::new("Delete a query", main))
    })
    .await
}

pub(in crate::admin::pages) async fn delete(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    api.submit(posted.visit, move |fleet, visit| async move {
        Queries::of(&fleet).delete(&visit.principal, *id).await?;
        Ok("/queries/saved?notice=deleted".to_owned())
    })
    .await
}
