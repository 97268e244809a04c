//! Users, as administrators manage them.

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::{NewUser, Role, User, UserEdit};

use super::answer::{self, Page, PageAnswer, PageFailed};
use super::forms::{Posted, send_button};
use super::layout::role;
use super::packs::{listing, paged};
use super::parts::{ago, cut, plural, shown};
use super::visit::{PageId, Visit};
use crate::admin::AdminApi;
use crate::fleet::access::{Permission, Users};
use crate::fleet::listing::Listing;
use crate::fleet::resource::Resource as _;
use crate::fleet::{Error, Fleet, Problem, Result};

const ROLES: [Role; 3] = [Role::Observer, Role::Maintainer, Role::Admin];

/// What stands in the form.
#[derive(Debug, Default, Clone)]
struct UserForm {
    email: String,
    name: String,
    role: Option<Role>,
    problems: Vec<Problem>,
}

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let main = main(&fleet, &visit, &UserForm::default()).await?;
        Ok(Page::new("Users", main))
    })
    .await
}

async fn main(fleet: &Fleet, visit: &Visit, form: &UserForm) -> Result<Markup> {
    let listing: Listing = listing(visit);
    let mut users = Users::of(fleet).list(&visit.principal, &listing).await?;
    let more = paged(&mut users, "users", &listing);
    Ok(html! {
        div.title {
            div {
                h1 { "Users" }
                p.state {
                    "Observers read, maintainers also change what hosts run, admins also manage users and settings."
                }
            }
        }
        section.card.flush { div.scroll { (table(visit, &users)) } (more) }
        (add(visit, form))
    })
}

fn table(visit: &Visit, users: &[User]) -> Markup {
    html! {
        table.page-table {
            thead { tr { th { "User" } th { "Role" } th.wide-only { "Since" } th {} } }
            tbody { @for user in users { tr {
                td.name { (cut(&user.name, 80)) br; span.muted.small { (cut(&user.email, 80)) } }
                td { (role(user.global_role)) @if user.api_only { " " span.chip { "API only" } } }
                td.wide-only { (ago(user.created_at, visit.look.now)) }
                td.n {
                    @if user.id != visit.principal.user.id { @if visit.may(Permission::ManageUsers) {
                        a href={ "users/" (user.id) } { "Edit" } " · " a href={ "users/" (user.id) "/delete" } { "Delete" }
                    } } @else {
                        span.muted { "you" }
                    }
                }
            } } }
        }
    }
}

fn add(visit: &Visit, form: &UserForm) -> Markup {
    let problem = |path: &str| {
        let found = form.problems.iter().find(|problem| problem.path == path);
        html! { @if let Some(problem) = found { span.problem { (shown(&problem.reason)) } } }
    };
    let is_known = |problem: &&Problem| ["email", "name", "password", "global_role"].contains(&problem.path.as_str());
    html! {
        form.card.stack action="users" method="post" {
            (visit.form_key.field())
            h2 { "Add a user" }
            @for problem in form.problems.iter().filter(|problem| !is_known(problem)) {
                p.problem role="alert" { (shown(&problem.reason)) }
            }
            div.grid {
                label {
                    "Email" input type="email" name="email" value=(form.email) autocomplete="off" required;
                    (problem("email"))
                }
                label { "Name" input name="name" value=(form.name) autocomplete="off" required; (problem("name")) }
                label {
                    "Password" input type="password" name="password" autocomplete="new-password" required minlength="12" maxlength="128";
                    span.hint { "12 to 128 characters, with a digit and a symbol" }
                    (problem("password"))
                }
                label {
                    "Role" select name="role" {
                        @for one in ROLES {
                            option value=(role(Some(one))) selected[form.role == Some(one)] { (role(Some(one))) }
                        }
                    }
                    (problem("global_role"))
                }
            }
            div.row { (send_button(visit, Permission::ManageUsers, "Add user")) }
        }
    }
}

pub(super) async fn create(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let (visit, fields) = (posted.visit, posted.fields);
    let word = fields.text("role");
    let form = UserForm {
        email: fields.text("email").to_owned(),
        name: fields.text("name").to_owned(),
        role: ROLES.into_iter().find(|one| role(Some(*one)) == word),
        problems: Vec::new(),
    };
    let new = NewUser {
        email: form.email.clone(),
        name: form.name.clone(),
        password: Some(fields.raw("password").to_owned()),
        global_role: form.role,
        ..NewUser::default()
    };
    let (fleet, by) = (api.fleet.clone(), visit.principal.clone());
    let created = api.work.change(move || async move { Users::of(&fleet).create(&by, &new).await }).await;
    let problems = match created {
        Ok(_) => return Ok(answer::go_to(&visit.look.prefix, "/users?notice=created").finish()),
        Err(Error::Invalid(problems)) => problems,
        Err(error @ Error::AlreadyExists { .. }) => vec![Problem::new("email", error.to_string())],
        Err(error) => return Err(PageFailed::of(visit, error)),
    };
    let form = UserForm { problems, ..form };
    api.page_again(visit, |fleet, visit| async move { Ok(Page::new("Users", main(&fleet, &visit, &form).await?)) })
        .await
}

/// One user, whose role can be changed.
pub(super) async fn user_page(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let user = Users::of(&fleet).by_id(&visit.principal, *id).await?;
        Ok(one(&visit, &user, &[]))
    })
    .await
}

fn one(visit: &Visit, user: &User, problems: &[Problem]) -> Page {
    let main = html! {
        div.title { div {
            p.crumb { a href="users" { "Users" } }
            h1 { (cut(&user.name, 120)) }
            p.state { (cut(&user.email, 120)) ", since " (ago(user.created_at, visit.look.now)) }
        } }
        form.card.stack action={ "users/" (user.id) } method="post" {
            (visit.form_key.field())
            @for problem in problems { p.problem role="alert" { (shown(&problem.reason)) } }
            label {
                "Role" select name="role" {
                    @for known in ROLES {
                        option value=(role(Some(known))) selected[user.global_role == Some(known)] { (role(Some(known))) }
                    }
                }
                span.hint { "Holds from the user's next request on" }
            }
            div.row {
                button.primary { "Change role" }
                a.button href="users" { "Cancel" }
                @if user.id != visit.principal.user.id {
                    a.button.danger href={ "users/" (user.id) "/delete" } { "Delete user" }
                }
            }
        }
    };
    Page::new("User", main)
}

/// Changes the role of a user.
pub(super) async fn edit(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    let (visit, word) = (posted.visit, posted.fields.text("role").to_owned());
    let wanted = ROLES.into_iter().find(|known| role(Some(*known)) == word);
    let missing = || Error::invalid("global_role", "expects observer, maintainer or admin");
    let allowed = visit.principal.may(Permission::ManageUsers).and_then(|()| wanted.ok_or_else(missing));
    let edit = match allowed {
        Ok(wanted) => UserEdit { global_role: Some(wanted), ..UserEdit::default() },
        Err(error) => return Err(PageFailed::of(visit, error)),
    };
    let (fleet, by) = (api.fleet.clone(), visit.principal.clone());
    match api.work.change(move || async move { Users::of(&fleet).edit(&by, *id, &edit).await }).await {
        Ok(_) => Ok(answer::go_to(&visit.look.prefix, "/users?notice=saved").finish()),
        Err(Error::Invalid(problems)) => {
            api.page_again(visit, move |fleet, visit| async move {
                let user = Users::of(&fleet).by_id(&visit.principal, *id).await?;
                Ok(one(&visit, &user, &problems))
            })
            .await
        }
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}

/// Asks whether to delete a user.
pub(super) async fn delete_page(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        visit.principal.may(Permission::ManageUsers)?;
        let user = Users::of(&fleet).by_id(&visit.principal, *id).await?;
        let main = html! {
            div.card {
                h1 { "Delete " (plural(1, "user", "users")) "?" }
                p {
                    (cut(&user.name, 120)) " (" (cut(&user.email, 120)) ") is logged out everywhere and cannot log in any more."
                }
                form.row action={ "users/" (id) "/delete" } method="post" {
                    (visit.form_key.field())
                    button.danger { "Delete 1 user" }
                    a.button href="users" { "Keep" }
                }
            }
        };
        Ok(Page::new("Delete a user", main))
    })
    .await
}

pub(super) async fn delete(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    api.submit(posted.visit, move |fleet, visit| async move {
        Users::of(&fleet).delete(&visit.principal, *id).await?;
        Ok("/users?notice=deleted".to_owned())
    })
    .await
}
