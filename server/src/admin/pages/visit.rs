//! Who looks at a page, and how.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{ACCEPT_ENCODING, COOKIE};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use super::answer::PageFailed;
use super::forms::FormKey;
use crate::admin::AdminApi;
use crate::clock::Moment;
use crate::fleet::Error;
use crate::fleet::access::{Permission, Principal};

/// The cookie that holds the token of a session. REST does not look at it.
pub(super) const SESSION: &str = "muster_session";

/// The cookie of visitors who are not logged in, which the tokens of their forms are made of.
pub(super) const VISITOR: &str = "muster_visitor";

/// The cookie that holds the theme.
pub(super) const THEME: &str = "muster_theme";

/// Longest cookie that is looked at.
const MAX_COOKIE: usize = 512;

/// Colours of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Theme {
    /// As the browser prefers.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(super) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|theme| theme.word() == word).unwrap_or_default()
    }
}

/// How an answer can be written for a browser.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub theme: Theme,
    pub takes_gzip: bool,
    /// `server.url_prefix`.
    pub prefix: std::sync::Arc<str>,
    /// Path and query below the prefix, with its slash.
    pub address: String,
    pub now: Moment,
}

impl Look {
    /// `None` only in a server without an API of operators.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let api = request.app_data::<Data<AdminApi>>()?;
        let prefix = std::sync::Arc::clone(&api.pages.prefix);
        let whole = request.uri().path_and_query().map_or("/", |whole| whole.as_str());
        let address = whole.strip_prefix(&*prefix).filter(|rest| rest.starts_with('/')).unwrap_or("/").to_owned();
        let encodings = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        Some(Self {
            theme: Theme::parse(&cookie(request, THEME).unwrap_or_default()),
            takes_gzip: encodings.is_some_and(takes_gzip),
            prefix,
            address,
            now: api.fleet.clock.now(),
        })
    }

    /// The value of a parameter of the query string; `None` if it is absent or empty.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.address.split_once('?')?;
        let all = actix_web::web::Query::<Vec<(String, String)>>::from_query(query).ok()?.into_inner();
        all.into_iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    }
}

/// Somebody who is logged in and looks at a page. A handler with this argument sends strangers to the login.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub principal: Principal,
    pub form_key: FormKey,
    pub look: Look,
}

impl Visit {
    /// Whether the page may show something for which this permission is needed. What it shows is read with the same check.
    pub(super) fn may(&self, permission: Permission) -> bool {
        self.principal.may(permission).is_ok()
    }
}

impl FromRequest for Visit {
    type Error = PageFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self, PageFailed>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let stranger = || PageFailed::at(&request, Error::Unauthenticated);
            let api = request.app_data::<Data<AdminApi>>().ok_or_else(stranger)?;
            let look = Look::of(&request).ok_or_else(stranger)?;
            let token = cookie(&request, SESSION).ok_or_else(stranger)?;
            let found = api.fleet.access.authenticate(&token).await;
            let principal = found.map_err(|error| PageFailed::at(&request, error))?;
            Ok(Self { principal, form_key: FormKey::of(&token), look })
        })
    }
}

/// The value of a cookie; `None` if it is absent, empty or too long.
pub(super) fn cookie(request: &HttpRequest, name: &str) -> Option<String> {
    let headers = request.headers().get_all(COOKIE).filter_map(|header| header.to_str().ok());
    let cookies = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = cookies.filter(|(key, _)| *key == name).map(|(_, value)| value);
    values.find(|value| !value.is_empty() && value.len() <= MAX_COOKIE).map(str::to_owned)
}

/// Whether a browser names gzip among the encodings it takes, and not with the quality 0.
fn takes_gzip(encodings: &str) -> bool {
    encodings.split(',').any(|encoding| {
        let (name, quality) = encoding.split_once(';').unwrap_or((encoding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_gzip_if_it_says_so() {
        for (encodings, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(encodings), takes, "{encodings}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let request = actix_web::test::TestRequest::default()
            .insert_header((COOKIE, "x_muster_session=1; muster_session=; muster_session=a=b; theme=dark"))
            .to_http_request();
        assert_eq!(cookie(&request, SESSION).as_deref(), Some("a=b"));
        assert_eq!(cookie(&request, VISITOR), None);
    }
}
