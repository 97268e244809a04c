//! Who looks at a page, and how.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{ACCEPT_ENCODING, REFERER};
use actix_web::http::{Method, Uri};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use super::answer::PageFailed;
use super::cookie::{FIRST_STEPS, HOST_COLUMNS, SESSION, THEME, cookie};
use super::forms::FormKey;
use crate::admin::AdminApi;
use crate::clock::Moment;
use crate::fleet::access::{Access, Permission, Principal};
use crate::fleet::{self, Error};

/// Most rows that an address skips.
const MAX_OFFSET: u64 = 10_000_000;

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
    /// Whether the address is one to look at: not where a form was sent.
    pub is_get: bool,
    /// The address of the page before, as the browser says; empty if it does not.
    pub before: String,
    pub now: Moment,
    pub shows_first_steps: bool,
    /// The columns of hosts that its reader has chosen, as their words with dots between; empty for the usual ones.
    pub host_columns: String,
}

impl Look {
    /// `None` only in a server without an API of operators.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let api = request.app_data::<Data<AdminApi>>()?;
        let prefix = std::sync::Arc::clone(&api.pages.prefix);
        let below = |uri: &Uri| {
            let whole = uri.path_and_query().map_or("/", |whole| whole.as_str());
            whole.strip_prefix(&*prefix).filter(|rest| rest.starts_with('/')).map(str::to_owned)
        };
        let address = below(request.uri()).unwrap_or_else(|| "/".to_owned());
        let before = request.headers().get(REFERER).and_then(|value| value.to_str().ok()?.parse().ok());
        let before = before.and_then(|before| below(&before)).unwrap_or_default();
        let encodings = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        Some(Self {
            theme: Theme::parse(&cookie(request, THEME).unwrap_or_default()),
            takes_gzip: encodings.is_some_and(takes_gzip),
            prefix,
            address,
            is_get: request.method() == Method::GET,
            before,
            now: api.fleet.clock.now(),
            shows_first_steps: cookie(request, FIRST_STEPS).is_none(),
            host_columns: cookie(request, HOST_COLUMNS).unwrap_or_default(),
        })
    }

    /// The value of a parameter of the query string; `None` if it is absent or empty.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.address.split_once('?')?;
        let all = actix_web::web::Query::<Vec<(String, String)>>::from_query(query).ok()?.into_inner();
        all.into_iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// All values of a parameter that are not empty.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let Some((_, query)) = self.address.split_once('?') else { return Vec::new() };
        let all = actix_web::web::Query::<Vec<(String, String)>>::from_query(query);
        let all = all.map(actix_web::web::Query::into_inner).unwrap_or_default();
        all.into_iter().filter(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value).collect()
    }

    /// The number of rows that an address skips.
    pub(super) fn offset(&self) -> u64 {
        self.parameter("from").and_then(|from| from.parse().ok()).unwrap_or(0).min(MAX_OFFSET)
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
        self.principal.is_offered(permission)
    }

    /// Whether the role allows it, be it refused to all now or not.
    pub(super) fn has(&self, permission: Permission) -> bool {
        self.principal.may(permission).is_ok()
    }

    /// Why what this permission is for is refused to all now; `None` if it is not.
    pub(super) fn why_closed(&self, permission: Permission) -> Option<String> {
        self.principal.why_closed(permission)
    }
}

impl FromRequest for Visit {
    type Error = PageFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self, PageFailed>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            find(&request, async |access, token| access.authenticate(token).await)
                .await
                .map_err(|error| PageFailed::at(&request, error))
        })
    }
}

/// As [`Visit`], for what the script of a page asks for while nobody may be there: the session does not last longer for it. A
/// handler with this argument tells the script when the session has ended.
#[derive(Debug, Clone)]
pub(super) struct Glance(pub Visit);

impl FromRequest for Glance {
    type Error = PageFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self, PageFailed>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let found = find(&request, async |access, token| access.recognize(token).await).await;
            Ok(Self(found.map_err(|error| PageFailed::of_part(&request, error))?))
        })
    }
}

async fn find(
    request: &HttpRequest,
    authenticate: impl AsyncFnOnce(&Access, &str) -> fleet::Result<Principal>,
) -> fleet::Result<Visit> {
    let api = request.app_data::<Data<AdminApi>>().ok_or(Error::Unauthenticated)?;
    let look = Look::of(request).ok_or(Error::Unauthenticated)?;
    let token = cookie(request, SESSION).ok_or(Error::Unauthenticated)?;
    let principal = authenticate(&api.fleet.access, &token).await?;
    // Such users are programs, which use REST.
    if principal.user.api_only {
        return Err(Error::Unauthenticated);
    }
    Ok(Visit { principal, form_key: FormKey::of(&token), look })
}

/// The id in the address of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageId(i64);

impl Deref for PageId {
    type Target = i64;

    fn deref(&self) -> &i64 {
        &self.0
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromRequest for PageId {
    type Error = PageFailed;
    type Future = Ready<Result<Self, PageFailed>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").and_then(|id| id.parse().ok());
        // One that is too large for an id is nobody's.
        let unknown = || Error::NotFound { kind: "A page", key: "with this number".to_owned() };
        ready(id.map(Self).ok_or_else(|| PageFailed::at(request, unknown())))
    }
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
}
