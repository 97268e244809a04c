//! Logging in and out, the first set-up, and the theme.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::Data;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{Markup, html};
use muster_api::rest::{Login, NewAdmin, OrgInfo, SetUp};
use rand::Rng as _;

use super::answer::{self, PageAnswer, PageFailed, go_to};
use super::cookie::{Cookie, SESSION, THEME, VISITOR, cookie, set_cookie};
use super::forms::{FormKey, Posted, StrangerPosted};
use super::layout;
use super::parts::shown;
use super::visit::{Look, Theme};
use crate::admin::AdminApi;
use crate::fleet::{Error, Problem};

/// Random bytes of a visitor's cookie.
const VISITOR_BYTES: usize = 32;

/// Why somebody is sent to the login, by the word for it in the address.
const NOTICES: [(&str, &str); 2] = [
    ("ended", "Your session has ended, and nothing was changed. Log in, and make the change once more."),
    ("set_up", "This server has its first administrator. Log in."),
];

/// How long a browser keeps the theme, in seconds.
const THEME_FOR: u32 = 400 * 24 * 3600;

/// Notes a session in the browser, and ends the one before.
async fn begin(api: &AdminApi, response: &mut HttpResponseBuilder, request: &HttpRequest, token: &str) {
    set_cookie(response, request, &Cookie { name: SESSION, value: token, max_age: None });
    let Some(before) = cookie(request, SESSION) else { return };
    if let Err(error) = api.fleet.access.end(&before).await {
        tracing::warn!(%error, "the session before a login goes on until it is idle");
    }
}

/// The page to log in at; the one for the set-up, if there is no user yet.
pub(super) async fn login_page(api: Data<AdminApi>, request: HttpRequest) -> PageAnswer {
    let look = look(&request)?;
    if !api.is_set_up().await.map_err(|error| PageFailed::at(&request, error))? {
        return Ok(go_to(&look.prefix, "/setup").finish());
    }
    let notice = look.parameter("notice").unwrap_or_default();
    let notice = NOTICES.iter().find(|(word, _)| *word == notice).map_or("", |(_, text)| *text);
    let form = LoginForm { next: look.parameter("next").unwrap_or_default(), notice, ..LoginForm::default() };
    Ok(for_stranger(&request, &look, StatusCode::OK, "Log in", |key| form.show(key)))
}

/// Logs in and goes to the page that was asked for before.
pub(super) async fn log_in(api: Data<AdminApi>, request: HttpRequest, posted: StrangerPosted) -> PageAnswer {
    let (look, fields) = (look(&request)?, &posted.fields);
    let login = Login { email: fields.text("email").to_owned(), password: fields.raw("password").to_owned() };
    let next = fields.text("next").to_owned();
    match api.fleet.access.log_in(&login, api.peer(&request)).await {
        Ok(done) if !done.user.api_only => {
            let next = if is_own(&next) { next } else { "/".to_owned() };
            let mut response = go_to(&look.prefix, &next);
            begin(&api, &mut response, &request, &done.token).await;
            Ok(response.finish())
        }
        Ok(done) => {
            api.fleet.access.end(&done.token).await.map_err(|error| PageFailed::at(&request, error))?;
            let problem = "This user is for programs, which use the REST API; pages are for people.".to_owned();
            let form = LoginForm { next, email: login.email, problem, ..LoginForm::default() };
            let page = page(&look, "Log in", &form.show(posted.form_key));
            Ok(answer::html(answer::head(StatusCode::FORBIDDEN), page))
        }
        Err(Error::NotFound { .. }) => Ok(go_to(&look.prefix, "/setup").finish()),
        Err(error) => {
            let (status, problem, wait) = match &error {
                Error::Unauthenticated => {
                    (StatusCode::UNAUTHORIZED, "There is no user with this address and password.".to_owned(), None)
                }
                Error::TooMany { retry_after } => {
                    let seconds = retry_after.as_secs().max(1);
                    let problem = format!("Too many attempts to log in. Wait {seconds} s, then try again.");
                    (StatusCode::TOO_MANY_REQUESTS, problem, Some(seconds))
                }
                _ => return Err(PageFailed::at(&request, error)),
            };
            let form = LoginForm { next, email: login.email, problem, ..LoginForm::default() };
            let mut response = answer::html(answer::head(status), page(&look, "Log in", &form.show(posted.form_key)));
            if let Some(seconds) = wait {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            Ok(response)
        }
    }
}

/// Ends the session.
pub(super) async fn log_out(api: Data<AdminApi>, request: HttpRequest, posted: Posted) -> PageAnswer {
    let ended = api.fleet.access.log_out(&posted.visit.principal).await;
    ended.map_err(|error| PageFailed::of(posted.visit.clone(), error))?;
    let mut response = go_to(&posted.visit.look.prefix, "/login");
    set_cookie(&mut response, &request, &Cookie { name: SESSION, value: "", max_age: Some(0) });
    Ok(response.finish())
}

/// The page on which the first administrator is made.
pub(super) async fn set_up_page(api: Data<AdminApi>, request: HttpRequest) -> PageAnswer {
    let look = look(&request)?;
    if api.is_set_up().await.map_err(|error| PageFailed::at(&request, error))? {
        return Ok(go_to(&look.prefix, "/").finish());
    }
    let info = request.connection_info().clone();
    let server_url = format!("{}://{}{}", info.scheme(), info.host(), look.prefix);
    let form = SetUpForm { server_url, ..SetUpForm::default() };
    Ok(for_stranger(&request, &look, StatusCode::OK, "Set up", |key| form.show(key)))
}

/// Makes the first administrator and logs in.
pub(super) async fn set_up(api: Data<AdminApi>, request: HttpRequest, posted: StrangerPosted) -> PageAnswer {
    let (look, fields) = (look(&request)?, &posted.fields);
    let form = SetUpForm {
        email: fields.text("email").to_owned(),
        name: fields.text("name").to_owned(),
        org_name: fields.text("org_name").to_owned(),
        server_url: fields.text("server_url").to_owned(),
        problems: Vec::new(),
    };
    let set_up = SetUp {
        admin: NewAdmin {
            email: form.email.clone(),
            name: form.name.clone(),
            username: None,
            password: fields.raw("password").to_owned(),
            password_confirmation: Some(fields.raw("password_confirmation").to_owned()),
            admin: None,
        },
        org_info: OrgInfo { org_name: form.org_name.clone(), ..OrgInfo::default() },
        server_url: form.server_url.clone(),
    };
    match api.fleet.access.set_up(&set_up, api.peer(&request)).await {
        Ok(done) => {
            let mut response = go_to(&look.prefix, "/");
            begin(&api, &mut response, &request, &done.token).await;
            Ok(response.finish())
        }
        Err(Error::Invalid(problems)) => {
            let form = SetUpForm { problems, ..form };
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let page = page(&look, "Set up", &form.show(posted.form_key));
            Ok(answer::html(answer::head(status), page))
        }
        Err(error) => match api.is_set_up().await {
            // Somebody else was first, or the administrator was made and not logged in.
            Ok(true) => Ok(go_to(&look.prefix, "/login?notice=set_up").finish()),
            _ => Err(PageFailed::at(&request, error)),
        },
    }
}

/// Keeps the chosen theme in the browser, and goes back.
pub(super) async fn theme(request: HttpRequest, posted: Posted) -> HttpResponse {
    let theme = Theme::parse(posted.fields.text("theme")).word();
    let back = posted.fields.text("back");
    let mut response = go_to(&posted.visit.look.prefix, own_or_home(back));
    set_cookie(&mut response, &request, &Cookie { name: THEME, value: theme, max_age: Some(THEME_FOR) });
    response.finish()
}

/// Where a form says that it was, if that is a page of this server.
pub(super) fn own_or_home(back: &str) -> &str {
    if is_own(back) { back } else { "/" }
}

/// Whether an address below the prefix is one of this server, wherever it came from.
fn is_own(address: &str) -> bool {
    let mut chars = address.chars();
    chars.next() == Some('/')
        && !matches!(chars.next(), Some('/' | '\\'))
        && address.chars().all(|char| char.is_ascii_graphic() && char != '\\')
}

fn look(request: &HttpRequest) -> Result<Look, PageFailed> {
    Look::of(request).ok_or_else(|| PageFailed::at(request, Error::Unauthenticated))
}

fn page(look: &Look, title: &str, main: &Markup) -> Markup {
    layout::document(look, title, &layout::alone(main))
}

/// A page with a form for somebody who is not logged in, and the cookie that the form's token is made of.
fn for_stranger(
    request: &HttpRequest,
    look: &Look,
    status: StatusCode,
    title: &str,
    form: impl FnOnce(FormKey) -> Markup,
) -> HttpResponse {
    let cookie = cookie(request, VISITOR).unwrap_or_else(|| {
        let mut bytes = [0; VISITOR_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    });
    let mut head = answer::head(status);
    set_cookie(&mut head, request, &Cookie { name: VISITOR, value: &cookie, max_age: None });
    answer::html(head, page(look, title, &form(FormKey::of(&cookie))))
}

/// What stands in the form of the login.
#[derive(Debug, Default)]
struct LoginForm {
    next: String,
    email: String,
    problem: String,
    /// Why one is here.
    notice: &'static str,
}

impl LoginForm {
    fn show(&self, key: FormKey) -> Markup {
        html! {
            h1 { "Log in" }
            @if !self.notice.is_empty() { p.muted role="status" { (self.notice) } }
            form.stack action="login" method="post" {
                (key.field())
                input type="hidden" name="next" value=(self.next);
                @if !self.problem.is_empty() { p.problem role="alert" { (self.problem) } }
                label {
                    "Email" input type="email" name="email" value=(self.email) autocomplete="username" required autofocus;
                }
                label { "Password" input type="password" name="password" autocomplete="current-password" required; }
                button.primary { "Log in" }
            }
        }
    }
}

/// What stands in the form of the set-up.
#[derive(Debug, Default)]
struct SetUpForm {
    email: String,
    name: String,
    org_name: String,
    server_url: String,
    problems: Vec<Problem>,
}

impl SetUpForm {
    fn problem(&self, path: &str) -> Markup {
        let found = self.problems.iter().find(|problem| problem.path == path);
        html! { @if let Some(problem) = found { span.problem { (shown(&problem.reason)) } } }
    }

    fn show(&self, key: FormKey) -> Markup {
        html! {
            h1 { "Set up this server" }
            p.muted { "You become its first administrator. This page works once." }
            form.stack action="setup" method="post" {
                (key.field())
                @if !self.problems.is_empty() { p.problem role="alert" { "Nothing was saved yet: see below." } }
                label {
                    "Email" input type="email" name="email" value=(self.email) autocomplete="username" required autofocus;
                    (self.problem("admin.email"))
                }
                label {
                    "Name" input name="name" value=(self.name) autocomplete="name" required;
                    (self.problem("admin.name"))
                }
                label { "Password"
                    input type="password" name="password" autocomplete="new-password" required minlength="12" maxlength="128";
                    span.hint { "12 to 128 characters, with a digit and a symbol" } (self.problem("admin.password")) }
                label {
                    "Password again" input type="password" name="password_confirmation" autocomplete="new-password" required;
                    (self.problem("admin.password_confirmation"))
                }
                label { "Organisation" input name="org_name" value=(self.org_name) autocomplete="organization"; }
                label {
                    "Address of this server" input name="server_url" value=(self.server_url);
                    span.hint { "As agents and people reach it" }
                }
                button.primary { "Set up" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_server() {
        for own in ["/", "/hosts?query=a%20b", "/hosts/1"] {
            assert!(is_own(own), "{own}");
        }
        for other in ["", "hosts", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb", "/é", "/a b"]
        {
            assert!(!is_own(other), "{other}");
        }
    }
}
