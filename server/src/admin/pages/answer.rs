//! Pages on their way to a browser.

use std::fmt;
use std::io::Write as _;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, HeaderName, LOCATION, REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use flate2::Compression;
use flate2::write::GzEncoder;
use maud::Markup;
use serde::Serialize;

use super::layout;
use super::parts::link;
use super::visit::{Look, Visit};
use crate::admin::AdminApi;
use crate::admin::answer::JSON;
use crate::admin::error::Failed;
use crate::fleet::{self, Error, Fleet};

/// What a page may load and do: its own style, script and pictures, and forms that go back to this server. Nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'self'; frame-ancestors 'none'";

const CONTENT_SECURITY_POLICY: HeaderName = HeaderName::from_static("content-security-policy");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const HTML: &str = "text/html; charset=utf-8";

/// Answers shorter than this are not worth compressing.
const SHORT: usize = 1_000;

/// A page without what is around it.
#[derive(Debug)]
pub(super) struct Page {
    pub title: String,
    pub main: Markup,
}

impl Page {
    pub(super) fn new(title: impl Into<String>, main: Markup) -> Self {
        Self { title: title.into(), main }
    }
}

pub(super) type PageAnswer = Result<HttpResponse, PageFailed>;

/// An answer that is written, and compressed if the browser takes that.
#[derive(Debug)]
struct WrittenPage {
    bytes: Vec<u8>,
    is_zipped: bool,
}

impl WrittenPage {
    fn of(text: String, look: &Look) -> Self {
        let plain = |text: String| Self { bytes: text.into_bytes(), is_zipped: false };
        if !look.takes_gzip || text.len() < SHORT {
            return plain(text);
        }
        let mut zip = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
        match zip.write_all(text.as_bytes()).and_then(|()| zip.finish()) {
            Ok(bytes) => Self { bytes, is_zipped: true },
            Err(_) => plain(text),
        }
    }

    /// The head with this status, and the text of this type.
    fn begin(self, status: StatusCode, content_type: &str) -> (HttpResponseBuilder, Bytes) {
        let mut response = head(status);
        if self.is_zipped {
            response.insert_header((CONTENT_ENCODING, "gzip"));
        }
        response.content_type(content_type);
        (response, self.bytes.into())
    }
}

/// The head of an answer with HTML.
pub(super) fn head(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((CROSS_ORIGIN_OPENER_POLICY, "same-origin"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        .insert_header((REFERRER_POLICY, "same-origin"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept-Encoding, Cookie"));
    response
}

/// HTML that is written here, for pages that cost nothing: they are not compressed either.
pub(super) fn html(mut head: HttpResponseBuilder, markup: Markup) -> HttpResponse {
    head.content_type(HTML).body(markup.into_string())
}

/// Sends the browser to a page, which is an address below `server.url_prefix` with its slash.
pub(super) fn go_to(prefix: &str, address: &str) -> HttpResponseBuilder {
    let mut response = head(StatusCode::SEE_OTHER);
    response.insert_header((LOCATION, format!("{prefix}{address}")));
    response
}

impl AdminApi {
    /// Reads and writes a page on the threads of operators.
    pub(super) async fn page<F>(
        &self,
        visit: Visit,
        read: impl FnOnce(Fleet, Visit) -> F + Send + 'static,
    ) -> PageAnswer
    where
        F: Future<Output = fleet::Result<Page>>,
    {
        self.written(StatusCode::OK, visit, read, |visit, page| layout::whole(visit, &page)).await
    }

    /// As [`AdminApi::page`], for the page of a form that something is wrong with.
    pub(super) async fn page_again<F>(
        &self,
        visit: Visit,
        read: impl FnOnce(Fleet, Visit) -> F + Send + 'static,
    ) -> PageAnswer
    where
        F: Future<Output = fleet::Result<Page>>,
    {
        self.page_as(StatusCode::UNPROCESSABLE_ENTITY, visit, read).await
    }

    /// As [`AdminApi::page`], with a status.
    pub(super) async fn page_as<F>(
        &self,
        status: StatusCode,
        visit: Visit,
        read: impl FnOnce(Fleet, Visit) -> F + Send + 'static,
    ) -> PageAnswer
    where
        F: Future<Output = fleet::Result<Page>>,
    {
        self.written(status, visit, read, |visit, page| layout::whole(visit, &page)).await
    }

    /// As [`AdminApi::page`], for a part of a page that replaces an older one.
    pub(super) async fn part<F>(
        &self,
        visit: Visit,
        read: impl FnOnce(Fleet, Visit) -> F + Send + 'static,
    ) -> PageAnswer
    where
        F: Future<Output = fleet::Result<Markup>>,
    {
        self.written(StatusCode::OK, visit, read, |_, part| part).await
    }

    /// Reads what the script of a page asks for, and writes it as JSON that the reader's browser may keep for a minute.
    pub(super) async fn json<T, F>(
        &self,
        visit: Visit,
        read: impl FnOnce(Fleet, Visit) -> F + Send + 'static,
    ) -> PageAnswer
    where
        T: Serialize,
        F: Future<Output = fleet::Result<T>>,
    {
        let (fleet, looking) = (self.fleet.clone(), visit.clone());
        let work = move || async move {
            let read = read(fleet, looking.clone()).await?;
            let text = serde_json::to_string(&read).map_err(|error| Error::Internal(error.into()))?;
            Ok(WrittenPage::of(text, &looking.look))
        };
        let begin = |written: WrittenPage| {
            let (mut head, text) = written.begin(StatusCode::OK, JSON);
            head.insert_header((CACHE_CONTROL, "private, max-age=60"));
            (head, text)
        };
        let sent = self.lists.send_written(&visit.principal, work, begin).await;
        sent.map_err(|error| PageFailed::of(visit, error))
    }

    async fn written<T, F>(
        &self,
        status: StatusCode,
        visit: Visit,
        read: impl FnOnce(Fleet, Visit) -> F + Send + 'static,
        write: impl FnOnce(&Visit, T) -> Markup + Send + 'static,
    ) -> PageAnswer
    where
        F: Future<Output = fleet::Result<T>>,
    {
        let (fleet, looking) = (self.fleet.clone(), visit.clone());
        let work = move || async move {
            let read = read(fleet, looking.clone()).await?;
            Ok(WrittenPage::of(write(&looking, read).into_string(), &looking.look))
        };
        let sent = self.lists.send_written(&visit.principal, work, |written| written.begin(status, HTML)).await;
        sent.map_err(|error| PageFailed::of(visit, error))
    }

    /// Makes a change that a form asks for, and sends the browser to where the change says.
    pub(super) async fn submit<F>(
        &self,
        visit: Visit,
        change: impl FnOnce(Fleet, Visit) -> F + Send + 'static,
    ) -> PageAnswer
    where
        F: Future<Output = fleet::Result<String>>,
    {
        let (fleet, sender) = (self.fleet.clone(), visit.clone());
        match self.work.change(move || change(fleet, sender)).await {
            Ok(address) => Ok(go_to(&visit.look.prefix, &address).finish()),
            Err(error) => Err(PageFailed::of(visit, error)),
        }
    }
}

/// Why there is no page.
#[derive(Debug)]
enum Cause {
    Refused(Error),
    /// A form without the token of its sender.
    Forged,
    /// The script of a page goes on after the end of the session.
    Ended,
    /// An address that no page has.
    NoPage,
}

/// A page that could not be made. It is shown with what is around pages if its reader is known.
#[derive(Debug)]
pub(super) struct PageFailed {
    cause: Cause,
    visit: Option<Box<Visit>>,
    look: Option<Box<Look>>,
}

impl PageFailed {
    pub(super) fn of(visit: Visit, error: Error) -> Self {
        let look = Some(Box::new(visit.look.clone()));
        Self { cause: Cause::Refused(error), visit: Some(Box::new(visit)), look }
    }

    /// An address that no page has.
    pub(super) fn no_such_page(visit: Visit) -> Self {
        let look = Some(Box::new(visit.look.clone()));
        Self { cause: Cause::NoPage, visit: Some(Box::new(visit)), look }
    }

    /// A failure before it was known who asks.
    pub(super) fn at(request: &HttpRequest, error: Error) -> Self {
        Self { cause: Cause::Refused(error), visit: None, look: Look::of(request).map(Box::new) }
    }

    /// As [`PageFailed::at`], for what the script of a page asks for.
    pub(super) fn of_part(request: &HttpRequest, error: Error) -> Self {
        match error {
            Error::Unauthenticated => Self { cause: Cause::Ended, ..Self::at(request, error) },
            error => Self::at(request, error),
        }
    }

    /// A form that came from elsewhere, or is older than the login.
    pub(super) fn forged(request: &HttpRequest) -> Self {
        Self { cause: Cause::Forged, ..Self::at(request, Error::Forbidden) }
    }

    /// Title and explanation.
    fn text(&self) -> (&'static str, String) {
        let error = match &self.cause {
            Cause::Refused(error) => error,
            Cause::Forged => {
                let what = "The form did not come from a page that this server wrote for you, or you have logged in since. \
                            Nothing was changed. Open the page again and send it once more.";
                return ("Form refused", what.to_owned());
            }
            Cause::Ended => return ("Log in", "The session has ended.".to_owned()),
            Cause::NoPage => return ("Not found", "There is no page at this address.".to_owned()),
        };
        match error {
            Error::NotFound { .. } => ("Not found", format!("{error}. It may have been deleted.")),
            Error::AlreadyExists { .. } => ("Already there", format!("{error}. Choose another name.")),
            Error::ChangedMeanwhile(_) | Error::Outdated(_) => {
                ("Changed meanwhile", format!("{error}. Nothing was changed by you. Open the page again."))
            }
            Error::Invalid(problems) => {
                let problems: Vec<String> = problems.iter().map(|problem| problem.reason.clone()).collect();
                ("This cannot be done", problems.join(" · "))
            }
            Error::Forbidden => {
                ("Not allowed", "Your role does not allow this. An administrator can change your role.".to_owned())
            }
            Error::Closed(reason) => ("Not allowed now", reason.clone()),
            Error::NotAdmitted(reason) => ("Not admitted", format!("{reason}.")),
            Error::Unauthenticated => ("Log in", "You are not logged in.".to_owned()),
            Error::TooMany { retry_after } => {
                let seconds = retry_after.as_secs().max(1);
                ("Too many attempts", format!("Wait {seconds} s, then try again."))
            }
            Error::Unavailable(reason) => ("Not available now", format!("{reason}. Try again in a moment.")),
            Error::Internal(_) => ("A fault of the server", "The log of the server says what happened.".to_owned()),
        }
    }

    fn status(&self) -> StatusCode {
        match &self.cause {
            Cause::Forged => StatusCode::FORBIDDEN,
            Cause::Ended => StatusCode::UNAUTHORIZED,
            Cause::NoPage => StatusCode::NOT_FOUND,
            Cause::Refused(error) => Failed::status_of(error),
        }
    }
}

impl fmt::Display for PageFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().0)
    }
}

impl ResponseError for PageFailed {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let Some(look) = &self.look else { return HttpResponse::build(self.status()).finish() };
        if let Cause::Refused(Error::Unauthenticated) = self.cause {
            // After the login, the page that was asked for, or the one with the form that was sent.
            let (notice, next) = if look.is_get { ("", &look.address) } else { ("ended", &look.before) };
            let next = if next == "/" { "" } else { next };
            return go_to(&look.prefix, &link("/login", &[("notice", notice), ("next", next)])).finish();
        }
        if let Cause::Refused(Error::Internal(cause)) = &self.cause {
            tracing::error!(error = cause.as_ref(), path = look.address, "a page could not be written");
        }
        let (title, what) = self.text();
        let markup = layout::failure(self.visit.as_deref(), look, title, &what);
        let mut head = head(self.status());
        if let Cause::Refused(Error::TooMany { retry_after }) = &self.cause {
            head.insert_header((RETRY_AFTER, retry_after.as_secs().max(1)));
        }
        html(head, markup)
    }
}
