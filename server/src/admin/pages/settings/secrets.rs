//! The secrets that agents enroll with. They are shown only when somebody asks for them.

use actix_web::web::Data;
use chrono::{NaiveDate, NaiveTime};
use maud::{Markup, html};

use super::tabs;
use crate::admin::AdminApi;
use crate::admin::pages::answer::{Page, PageAnswer, PageFailed, go_to};
use crate::admin::pages::forms::Posted;
use crate::admin::pages::parts::{Tone, ago, ago_or_never, badge, count, cut, plural, shown};
use crate::admin::pages::visit::{PageId, Visit};
use crate::fleet::access::Permission;
use crate::fleet::enroll_secrets::{EnrollSecrets, ListedSecret, NewSecret};
use crate::fleet::{Error, Problem};

/// Secrets that are listed.
const MOST: usize = 200;

/// What stands in the form for a new secret, but for the secret.
#[derive(Debug, Clone, Default)]
struct SecretForm {
    name: String,
    last_day: String,
    quota: String,
    problems: Vec<Problem>,
}

pub(in crate::admin::pages) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let secrets = EnrollSecrets::of(&fleet).list(&visit.principal).await?;
        Ok(show(&visit, &secrets, &SecretForm::default()))
    })
    .await
}

impl SecretForm {
    /// What is asked for. A secret is good to the end of its last day, in UTC.
    fn read(&self, secret: String) -> Result<NewSecret, Error> {
        let expires_at = match self.last_day.as_str() {
            "" => None,
            day => {
                let day = day.parse::<NaiveDate>().ok().and_then(|day| day.succ_opt());
                Some(day.ok_or_else(|| Error::invalid("expires_at", "is no day such as 2027-01-31"))?)
            }
        };
        let quota = match self.quota.as_str() {
            "" => None,
            number => Some(number.parse().map_err(|_| Error::invalid("quota", "expects a number of hosts"))?),
        };
        let expires_at = expires_at.map(|day| day.and_time(NaiveTime::MIN).and_utc());
        Ok(NewSecret { name: self.name.clone(), secret, expires_at, quota })
    }
}

/// The same page with the secrets.
pub(in crate::admin::pages) async fn reveal(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    api.page(posted.visit, |fleet, visit| async move {
        let secrets = EnrollSecrets::of(&fleet).revealed(&visit.principal).await?;
        Ok(show(&visit, &secrets, &SecretForm::default()))
    })
    .await
}

pub(in crate::admin::pages) async fn add(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let (visit, fields) = (posted.visit, posted.fields);
    let text = |name: &str| fields.text(name).to_owned();
    let form =
        SecretForm { name: text("name"), last_day: text("expires_at"), quota: text("quota"), problems: Vec::new() };
    let new = form.read(fields.raw("secret").to_owned());
    let (fleet, by) = (api.fleet.clone(), visit.principal.clone());
    let add = move || async move { EnrollSecrets::of(&fleet).add(&by, new?).await };
    match api.work.change(add).await {
        Ok(()) => Ok(go_to(&visit.look.prefix, "/settings/secrets?notice=added").finish()),
        Err(Error::Invalid(problems)) => {
            let form = SecretForm { problems, ..form };
            api.page_again(visit, |fleet, visit| async move {
                let secrets = EnrollSecrets::of(&fleet).list(&visit.principal).await?;
                Ok(show(&visit, &secrets, &form))
            })
            .await
        }
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}

fn show(visit: &Visit, secrets: &[ListedSecret], form: &SecretForm) -> Page {
    let is_hidden = secrets.iter().all(|secret| secret.secret.is_none());
    let main = html! {
        div.title {
            div { h1 { "Settings" } p.state { "A new host enrolls with one of these secrets and is shown with its name." } }
            @if is_hidden && !secrets.is_empty() {
                form.actions action="settings/secrets/show" method="post" {
                    (visit.form_key.field()) button { "Show secrets" }
                }
            }
        }
        (tabs(visit, "secrets"))
        section.card.flush {
            @if secrets.is_empty() {
                div.empty { h2 { "No secret" } p { "No host can enroll until there is one." } }
            } @else { div.scroll { (table(visit, secrets)) } }
        }
        @if visit.may(Permission::WriteSecrets) { (add_form(visit, form)) }
    };
    Page::new("Enroll secrets", main)
}

fn table(visit: &Visit, secrets: &[ListedSecret]) -> Markup {
    html! {
        table.page-table {
            thead { tr {
                th { "Name" } th { "Secret" } th.n { "Hosts" } th { "Good until" } th.wide-only { "Last used" } th.wide-only { "Since" } th {}
            } }
            tbody { @for secret in secrets.iter().take(MOST) { tr {
                td.name { (cut(&secret.name, 80)) }
                td {
                    @match &secret.secret {
                        Some(text) => {
                            code id={ "secret-" (secret.id) } { (shown(text)) } " "
                            button.copy type="button" data-copy={ "secret-" (secret.id) } { "Copy" }
                        },
                        None => span.muted { "hidden" },
                    }
                }
                td.n {
                    @if let Some(quota) = secret.quota { (count(secret.hosts_enrolled)) " of " (count(quota)) } @else { span.muted { "any" } }
                    @if secret.quota.is_some_and(|quota| secret.hosts_enrolled >= quota) { " " (badge(Tone::Bad, "used up")) }
                }
                td {
                    @match secret.expires_at {
                        Some(end) if end <= visit.look.now.to_utc() => { (badge(Tone::Bad, "expired")) " " (ago(end, visit.look.now)) },
                        Some(end) => (ago(end, visit.look.now)),
                        None => span.muted { "always" },
                    }
                }
                td.wide-only { (ago_or_never(secret.last_used_at.unwrap_or_default(), visit.look.now)) }
                td.wide-only { (ago(secret.created_at, visit.look.now)) }
                td.n {
                    @if visit.may(Permission::WriteSecrets) {
                        a href={ "settings/secrets/" (secret.id) "/remove" } { "Remove" }
                    }
                }
            } } }
        }
    }
}

fn add_form(visit: &Visit, form: &SecretForm) -> Markup {
    let problem = |path: &str| {
        let found = form.problems.iter().find(|problem| problem.path == path);
        html! { @if let Some(problem) = found { span.problem { (shown(&problem.reason)) } } }
    };
    html! {
        form.card.stack action="settings/secrets" method="post" {
            (visit.form_key.field())
            h2 { "Add a secret" }
            div.grid {
                label {
                    "Name" input name="name" value=(form.name) autocomplete="off" required maxlength="255";
                    span.hint { "Such as the office or the image whose hosts get it" }
                    (problem("name"))
                }
                label {
                    "Secret" input type="password" name="secret" autocomplete="off" maxlength="255";
                    span.hint { "Leave it empty to have one made" }
                    (problem("secret"))
                }
                label {
                    "Last day" input type="date" name="expires_at" value=(form.last_day) autocomplete="off";
                    span.hint { "In UTC; leave it empty for a secret that is always good" }
                    (problem("expires_at"))
                }
                label {
                    "Most hosts" input type="number" min="1" name="quota" value=(form.quota) autocomplete="off";
                    span.hint { "That may enroll with it; leave it empty for any number" }
                    (problem("quota"))
                }
            }
            div.row { button.primary { "Add secret" } }
        }
    }
}

/// Asks whether to remove a secret, and says what that means.
pub(in crate::admin::pages) async fn remove_page(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        visit.principal.may(Permission::WriteSecrets)?;
        let secrets = EnrollSecrets::of(&fleet).list(&visit.principal).await?;
        let missing = || Error::no_such("Enroll secret", *id);
        let secret = secrets.iter().find(|secret| secret.id == *id).ok_or_else(missing)?;
        let left = secrets.len() - 1;
        let main = html! {
            div.card {
                h1 { "Remove the secret " (cut(&secret.name, 120)) "?" }
                p {
                    "Hosts stay enrolled, whichever secret they had. "
                    "Machines that have only this secret cannot enroll any more. "
                    @if left == 0 { strong { "It is the last one: no new host can enroll until you add another." } } @else {
                        (plural(left as u64, "other secret is left", "other secrets are left")) "."
                    }
                }
                form.row action={ "settings/secrets/" (id) "/remove" } method="post" {
                    (visit.form_key.field())
                    button.danger { "Remove 1 of " (plural(secrets.len() as u64, "secret", "secrets")) }
                    a.button href="settings/secrets" { "Keep" }
                }
            }
        };
        Ok(Page::new("Remove a secret", main))
    })
    .await
}

pub(in crate::admin::pages) async fn remove(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    api.submit(posted.visit, move |fleet, visit| async move {
        EnrollSecrets::of(&fleet).remove(&visit.principal, *id).await?;
        Ok("/settings/secrets?notice=removed".to_owned())
    })
    .await
}
