//! Cookies of pages.

use std::borrow::Cow;

use actix_web::http::header::{COOKIE, SET_COOKIE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponseBuilder};

use crate::admin::AdminApi;

/// The cookie that holds the token of a session. REST does not look at it.
pub(super) const SESSION: &str = "muster_session";

/// The cookie of visitors who are not logged in, which the tokens of their forms are made of.
pub(super) const VISITOR: &str = "muster_visitor";

/// The cookie that holds the theme.
pub(super) const THEME: &str = "muster_theme";

/// The cookie that says that the first steps were put away.
pub(super) const FIRST_STEPS: &str = "muster_first_steps";

/// The cookie that holds the columns of hosts that are shown.
pub(super) const HOST_COLUMNS: &str = "muster_host_columns";

/// Cookies that say how a page looks, which is nobody's secret.
const OF_LOOKS: [&str; 3] = [THEME, FIRST_STEPS, HOST_COLUMNS];

/// Before the names of cookies that a browser takes only from this very host: a neighbour cannot set one.
const OF_THIS_HOST: &str = "__Host-";

/// Longest cookie that is looked at.
const MAX_COOKIE: usize = 512;

/// A cookie, as a browser is told to keep it.
#[derive(Debug)]
pub(super) struct Cookie<'a> {
    pub name: &'static str,
    pub value: &'a str,
    /// Seconds; `None` until the browser is closed.
    pub max_age: Option<u32>,
}

/// The value of a cookie; `None` if it is absent, empty or too long, and if there are several, of which a neighbour may have
/// set one.
pub(super) fn cookie(request: &HttpRequest, name: &'static str) -> Option<String> {
    let name = full_name(request, name);
    let headers = request.headers().get_all(COOKIE).filter_map(|header| header.to_str().ok());
    let cookies = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = cookies.filter(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value);
    let value = values.next().filter(|value| value.len() <= MAX_COOKIE)?;
    values.all(|other| other == value).then(|| value.to_owned())
}

/// Adds a cookie that only pages of this server get, and no script. Links from elsewhere come with it, forms do not.
pub(super) fn set_cookie(response: &mut HttpResponseBuilder, request: &HttpRequest, cookie: &Cookie<'_>) {
    let prefix = request.app_data::<Data<AdminApi>>().map_or("", |api| &*api.pages.prefix);
    let path = if prefix.is_empty() { "/" } else { prefix };
    let (name, value) = (full_name(request, cookie.name), cookie.value);
    let max_age = cookie.max_age.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    let secure = if is_secure(request) { "; Secure" } else { "" };
    let header = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}{max_age}");
    response.append_header((SET_COOKIE, header));
}

/// Whether the browser uses TLS. Behind a proxy that ends it, the proxy says so.
fn is_secure(request: &HttpRequest) -> bool {
    request.app_data::<Data<AdminApi>>().is_some_and(|api| api.pages.is_tls)
        || request.connection_info().scheme() == "https"
}

/// The name that browsers know a cookie by.
fn full_name(request: &HttpRequest, name: &'static str) -> Cow<'static, str> {
    let is_whole_host = request.app_data::<Data<AdminApi>>().is_some_and(|api| api.pages.prefix.is_empty());
    if !OF_LOOKS.contains(&name) && is_whole_host && is_secure(request) {
        return format!("{OF_THIS_HOST}{name}").into();
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cookies: &str, name: &'static str) -> Option<String> {
        let request = actix_web::test::TestRequest::default().insert_header((COOKIE, cookies));
        cookie(&request.to_http_request(), name)
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let cookies = "x_muster_session=1; muster_session=; muster_session=a=b; theme=dark";
        assert_eq!(found(cookies, SESSION).as_deref(), Some("a=b"));
        assert_eq!(found(cookies, VISITOR), None);
    }

    #[test]
    fn a_cookie_with_two_values_is_none() {
        assert_eq!(found("muster_session=a; muster_session=b", SESSION), None);
        assert_eq!(found("muster_session=a; muster_session=a", SESSION).as_deref(), Some("a"));
    }
}
