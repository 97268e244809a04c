//! Agent options as YAML. What is wrong is told beside the text by its line; a change is shown before it is saved.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::documents::{DocumentProblem, Documents, to_yaml};
use serde_json::Value;

use super::tabs;
use crate::admin::AdminApi;
use crate::admin::pages::answer::{Page, PageAnswer, PageFailed, go_to};
use crate::admin::pages::forms::Posted;
use crate::admin::pages::history;
use crate::admin::pages::parts::{
    CodeField, CodeLanguage, DiffRoom, code_field, cut, field_diffs, hidden_warning, plural, shown,
};
use crate::admin::pages::visit::Visit;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::apply::OptionsEdit;
use crate::fleet::changes::ObjectKind;
use crate::fleet::{Error, Fleet, Problem, Result};

/// Problems or warnings that are told at one time.
const MAX_NOTES: usize = 50;

/// Characters of a line that a note repeats.
const EXCERPT: usize = 120;

/// The path of the options in the document that is applied.
const SPEC: &str = "documents[0].spec";

/// What stands in the form.
#[derive(Debug, Clone)]
struct OptionsForm {
    text: String,
    /// The mark of the options that were in force when the form was written.
    mark: String,
    notes: Vec<OptionsNote>,
}

/// Something about the text, with the line it is about; 0 for none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OptionsNote {
    line: usize,
    path: String,
    reason: String,
}

/// A text that was read as YAML.
struct ReadText {
    documents: Documents,
    options: Value,
}

/// What became of a text.
enum Checked {
    Wrong(Vec<OptionsNote>),
    Differs { edit: OptionsEdit, warnings: Vec<OptionsNote>, mark: String, hosts: Option<u64> },
}

/// Reads the text of the form.
fn read(text: &str) -> std::result::Result<ReadText, Vec<OptionsNote>> {
    let mut documents = Documents::default();
    let note = |problem: &DocumentProblem| OptionsNote {
        line: problem.position().0,
        path: String::new(),
        reason: problem.reason.clone(),
    };
    let added = documents.add("options", text.to_owned());
    added.map_err(|problems| problems.iter().take(MAX_NOTES).map(note).collect::<Vec<_>>())?;
    let mut roots = documents.to_json();
    let reason = match roots.len() {
        1 => return Ok(ReadText { options: roots.swap_remove(0), documents }),
        0 => "there is nothing here; write config with its options, or take back what was there",
        _ => "has several documents; write the agent options as one",
    };
    Err(vec![OptionsNote { line: 0, path: String::new(), reason: reason.to_owned() }])
}

impl ReadText {
    /// Finds the lines that problems are about.
    fn notes<'a>(&self, problems: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<OptionsNote> {
        let note = |(path, reason): (&str, &str)| {
            let below = path.strip_prefix(SPEC);
            let inner = below.map_or_else(|| path.to_owned(), |below| format!("documents[0]{below}"));
            let found = self.documents.problems(&[(inner.as_str(), reason)]).pop();
            let (line, reason) = found.map_or((0, reason.to_owned()), |found| {
                // The path stands before it, so its last key need not.
                let is_longer = !found.reason.ends_with(reason);
                (found.position().0, if is_longer { found.reason.clone() } else { reason.to_owned() })
            });
            let path = below.unwrap_or_default().trim_start_matches('.').to_owned();
            OptionsNote { line, path, reason }
        };
        let mut notes: Vec<OptionsNote> = problems.take(MAX_NOTES).map(note).collect();
        notes.sort_by_key(|note| note.line);
        notes
    }

    fn notes_of(&self, problems: &[Problem]) -> Vec<OptionsNote> {
        self.notes(problems.iter().map(|problem| (problem.path.as_str(), problem.reason.as_str())))
    }
}

/// The agent options, and their history. Those who may change them see them in a form.
pub(in crate::admin::pages) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let stored = fleet.applier.options_to_edit(&visit.principal).await?;
        let text = to_yaml(&stored.options).map_err(|error| Error::Internal(error.into()))?;
        let history = history::latest(&fleet, &visit, (ObjectKind::Config, 0)).await?;
        let form = OptionsForm { text, mark: stored.mark, notes: Vec::new() };
        Ok(show(&visit, &form, &history))
    })
    .await
}

/// Shows what a text would change, saves it, or goes back to the form, as the button says.
pub(in crate::admin::pages) async fn send(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let (visit, fields) = (posted.visit, posted.fields);
    let form = OptionsForm { text: fields.lines("options"), mark: fields.text("mark").to_owned(), notes: Vec::new() };
    match fields.text("step") {
        "edit" => again(&api, visit, StatusCode::OK, form).await,
        "save" => {
            let (fleet, by, sent) = (api.fleet.clone(), visit.principal.clone(), form.clone());
            match api.work.change(move || async move { save(&fleet, &by, &sent).await }).await {
                Ok(notes) if notes.is_empty() => Ok(go_to(&visit.look.prefix, "/settings?notice=saved").finish()),
                Ok(notes) => again(&api, visit, StatusCode::UNPROCESSABLE_ENTITY, OptionsForm { notes, ..form }).await,
                Err(Error::ChangedMeanwhile(_)) => review(&api, visit, form, StatusCode::CONFLICT).await,
                Err(error) => Err(PageFailed::of(visit, error)),
            }
        }
        _ => review(&api, visit, form, StatusCode::OK).await,
    }
}

/// Saves a text; gives what is wrong with it.
async fn save(fleet: &Fleet, by: &Principal, form: &OptionsForm) -> Result<Vec<OptionsNote>> {
    by.may(Permission::WriteConfig)?;
    let read = match read(&form.text) {
        Ok(read) => read,
        Err(notes) => return Ok(notes),
    };
    let saved = fleet.applier.replace_options(by, read.options.clone(), Some(form.mark.clone()), false).await;
    match saved {
        Ok(_) => Ok(Vec::new()),
        Err(Error::Invalid(problems)) => Ok(read.notes_of(&problems)),
        Err(error) => Err(error),
    }
}

/// Finds out what a text would change, as `fleetctl apply --dry-run` does.
async fn check(fleet: &Fleet, by: &Principal, text: &str) -> Result<Checked> {
    by.may(Permission::WriteConfig)?;
    let read = match read(text) {
        Ok(read) => read,
        Err(notes) => return Ok(Checked::Wrong(notes)),
    };
    let mark = fleet.applier.options_to_edit(by).await?.mark;
    match fleet.applier.replace_options(by, read.options.clone(), None, true).await {
        Ok(mut edit) => {
            for field in &mut edit.changed.fields {
                if let Some(below) = field.field.strip_prefix("agent_options.") {
                    field.field = below.to_owned();
                }
            }
            let warnings =
                read.notes(edit.warnings.iter().map(|warning| (warning.name.as_str(), warning.reason.as_str())));
            let hosts = fleet.hosts.counts_now(by).await.ok().map(|count| count.online + count.offline);
            Ok(Checked::Differs { edit, warnings, mark, hosts })
        }
        Err(Error::Invalid(problems)) => Ok(Checked::Wrong(read.notes_of(&problems))),
        Err(error) => Err(error),
    }
}

async fn again(api: &AdminApi, visit: Visit, status: StatusCode, form: OptionsForm) -> PageAnswer {
    api.page_as(status, visit, move |_, visit| async move {
        visit.principal.may(Permission::WriteConfig)?;
        Ok(show(&visit, &form, &html! {}))
    })
    .await
}

async fn review(api: &AdminApi, visit: Visit, form: OptionsForm, status: StatusCode) -> PageAnswer {
    let (fleet, by, text) = (api.fleet.clone(), visit.principal.clone(), form.text.clone());
    match api.work.change(move || async move { check(&fleet, &by, &text).await }).await {
        Ok(Checked::Wrong(notes)) => {
            again(api, visit, StatusCode::UNPROCESSABLE_ENTITY, OptionsForm { notes, ..form }).await
        }
        Ok(Checked::Differs { edit, warnings, mark, hosts }) => {
            let has_conflict = form.mark != mark;
            let form = OptionsForm { mark, notes: warnings, ..form };
            let page = move |visit: &Visit| review_page(visit, &form, &edit, has_conflict, hosts);
            api.page_as(status, visit, move |_, visit| async move { Ok(page(&visit)) }).await
        }
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}

fn show(visit: &Visit, form: &OptionsForm, history: &Markup) -> Page {
    let may_change = visit.may(Permission::WriteConfig);
    let main = html! {
        div.title { div {
            h1 { "Settings" }
            p.state { "What agents get besides packs: flags, decorators, watched files, and what differs by platform." }
        } }
        (tabs(visit, "options"))
        @if may_change {
            form.card.stack action="settings" method="post" {
                (visit.form_key.field())
                input type="hidden" name="mark" value=(form.mark);
                @if !form.notes.is_empty() {
                    p.problem role="alert" {
                        "Nothing was saved: " (plural(form.notes.len() as u64, "problem", "problems")) "."
                    }
                }
                (hidden_warning(&[&form.text]))
                div.editor {
                    (code_field(&CodeField {
                        language: CodeLanguage::Yaml,
                        name: "options",
                        label: "Agent options (YAML)",
                        rows: 24,
                        example: "config:\n  options: {}",
                        text: &form.text,
                        problem: None,
                    }))
                    (notes(form, "problem"))
                }
                div.row { button.primary name="step" value="review" { "Review changes" } }
            }
        } @else {
            section.card { pre { (cut(&form.text, 40_000)) } }
        }
        (history)
    };
    Page::new("Settings", main)
}

/// What is told of a text, each with its line.
fn notes(form: &OptionsForm, class: &str) -> Markup {
    // Beside the text a line can be gone to.
    let leads = class == "problem";
    let line_of = |line: usize| form.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    html! {
        @if !form.notes.is_empty() {
            ol.notes { @for note in &form.notes {
                li class=(class) {
                    @if note.line > 0 {
                        strong data-line=[leads.then_some(note.line)] data-of=[leads.then_some("options")] {
                            "Line " (note.line)
                        }
                        " "
                        code { (cut(line_of(note.line).trim(), EXCERPT)) } br;
                    }
                    @if !note.path.is_empty() { span.muted { (cut(&note.path, 200)) ": " } }
                    (shown(&note.reason))
                }
            } }
        }
    }
}

fn review_page(visit: &Visit, form: &OptionsForm, edit: &OptionsEdit, has_conflict: bool, hosts: Option<u64>) -> Page {
    let main = html! {
        div.title { div {
            p.crumb { a href="settings" { "Settings" } }
            h1 { "Review changes" }
            p.state {
                @match hosts {
                    Some(hosts) => { (plural(hosts, "host", "hosts")) " may get these options with the next config." },
                    None => "All hosts may get these options with their next config.",
                }
            }
        } }
        @if has_conflict {
            p.warning role="alert" {
                "Somebody else has changed the agent options since you opened them. Nothing of yours is lost or saved yet: below is "
                "how it differs from what is in force now. " a href="settings/history" { "See what was changed" } "."
            }
        }
        @if !form.notes.is_empty() { section.card { h2 { "Look twice" } (notes(form, "warning")) } }
        section.card {
            h2 { "What changes" }
            @if edit.changed.is_empty() { p.muted { "Nothing: these options are in force already." } }
            @else { (field_diffs(&edit.changed, &mut DiffRoom::of_page())) }
        }
        form.row action="settings" method="post" {
            (visit.form_key.field())
            input type="hidden" name="options" value=(form.text);
            input type="hidden" name="mark" value=(form.mark);
            @if !edit.changed.is_empty() { button.primary name="step" value="save" { "Save changes" } }
            button name="step" value="edit" { "Edit further" }
            a.button href="settings" { "Discard" }
        }
    };
    Page::new("Review changes", main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_by_their_lines() {
        let text = "config:\n  options:\n    distributed_interval: 10\n    pack_delimiter: [\n";
        let notes = read(text).err().unwrap();
        assert!(notes[0].line >= 4 && !notes[0].reason.is_empty(), "{notes:?}");
        let found = read("config:\n  options:\n    odd flag: 1\n").ok().unwrap();
        let problem = Problem::new("documents[0].spec.config.options[\"odd flag\"]", "is odd");
        let wanted =
            OptionsNote { line: 3, path: "config.options[\"odd flag\"]".to_owned(), reason: "is odd".to_owned() };
        assert_eq!(found.notes_of(&[problem]), [wanted]);
        assert_eq!(found.notes_of(&[Problem::new("base", "is too large")])[0].line, 0);
        for (text, reason) in
            [("", "nothing here"), ("# only a comment", "nothing here"), ("a: 1\n---\nb: 2", "several")]
        {
            let notes = read(text).err().unwrap();
            assert!(notes[0].reason.contains(reason), "{text}: {notes:?}");
        }
    }
}
