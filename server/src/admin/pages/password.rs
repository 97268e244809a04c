//! One's own password.

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::ChangePassword;

use super::answer::{Page, PageAnswer, PageFailed, go_to};
use super::forms::{Posted, send_button};
use super::parts::shown;
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::{Error, Problem};

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |_, visit| async move { Ok(Page::new("Change password", form(&visit, &[]))) }).await
}

pub(super) async fn change(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let (visit, fields) = (posted.visit, posted.fields);
    let request = ChangePassword {
        old_password: fields.raw("old_password").to_owned(),
        new_password: fields.raw("new_password").to_owned(),
    };
    let is_confirmed = fields.raw("password_confirmation") == request.new_password;
    let changed = match is_confirmed {
        true => {
            let (fleet, by) = (api.fleet.clone(), visit.principal.clone());
            api.work.change(move || async move { fleet.access.change_password(&by, &request).await }).await
        }
        false => Err(Error::invalid("password_confirmation", "is not the same as the new password")),
    };
    match changed {
        Ok(()) => Ok(go_to(&visit.look.prefix, "/password?notice=password").finish()),
        Err(Error::Invalid(problems)) => {
            api.page_again(
                visit,
                move |_, visit| async move { Ok(Page::new("Change password", form(&visit, &problems))) },
            )
            .await
        }
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}

fn form(visit: &Visit, problems: &[Problem]) -> Markup {
    let problem = |path: &str| {
        let found = problems.iter().find(|problem| problem.path == path);
        html! { @if let Some(problem) = found { span.problem { (shown(&problem.reason)) } } }
    };
    html! {
        div.title { div {
            h1 { "Change password" }
            p.state { "Ends your other sessions, those of programs with your tokens included." }
        } }
        form.card.stack action="password" method="post" {
            (visit.form_key.field())
            // So that browsers know whose password they keep.
            input type="email" value=(visit.principal.user.email) autocomplete="username" hidden;
            label {
                "Password now" input type="password" name="old_password" autocomplete="current-password" required;
                (problem("old_password"))
            }
            label {
                "New password"
                input type="password" name="new_password" autocomplete="new-password" required minlength="12" maxlength="128";
                span.hint { "12 to 128 characters, with a digit and a symbol" }
                (problem("new_password"))
            }
            label {
                "New password again"
                input type="password" name="password_confirmation" autocomplete="new-password" required;
                (problem("password_confirmation"))
            }
            // As any change is.
            div.row { (send_button(visit, Permission::ManageUsers, "Change password")) }
        }
    }
}
