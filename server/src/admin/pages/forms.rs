//! What pages send back.
//!
//! A form is taken only from a page that was written for the same visitor. Every form carries a token that is made of the
//! visitor's cookie, which no other site can read; browsers that say where a request comes from are believed, too. The token
//! looks different on each page, so that nobody can find it out by how well pages compress.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::{self, BytesMut, Data};
use actix_web::{FromRequest, HttpRequest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use maud::{Markup, html};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::answer::PageFailed;
use super::cookie::{VISITOR, cookie};
use super::parts::shown;
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::admin::origin::is_foreign;
use crate::fleet::Error;
use crate::fleet::access::Permission;

/// The button that sends a form. While what it does is refused to all, it cannot be pressed, and says why.
pub(super) fn send_button(visit: &Visit, permission: Permission, text: &str) -> Markup {
    let why = visit.why_closed(permission);
    html! {
        button.primary disabled[why.is_some()] { (text) }
        @if let Some(why) = why { span.hint { (shown(&why)) } }
    }
}

/// Most bytes of a form: the longest SQL, or agent options, with every character encoded.
const MAX_FORM: usize = 1024 * 1024;

/// Most bytes of a form of somebody who is not logged in.
const MAX_FORM_OF_STRANGER: usize = 16 * 1024;

/// The field of a form that holds its token.
const FIELD: &str = "form_token";

/// Bytes of a key.
const KEY: usize = 32;

/// What the tokens of a visitor's forms are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct FormKey([u8; KEY]);

impl FormKey {
    /// The key of a visitor with this cookie.
    pub(super) fn of(cookie: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"muster form\0");
        hash.update(cookie.as_bytes());
        Self(hash.finalize().into())
    }

    /// A token: the key behind a random mask.
    fn token(self) -> String {
        let mut token = [0; 2 * KEY];
        let (mask, masked) = token.split_at_mut(KEY);
        rand::rng().fill_bytes(mask);
        masked.iter_mut().zip(mask.iter().zip(self.0)).for_each(|(masked, (mask, key))| *masked = mask ^ key);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The hidden field of a form.
    pub(super) fn field(self) -> Markup {
        html! { input type="hidden" name=(FIELD) value=(self.token()); }
    }

    fn accepts(self, token: &str) -> bool {
        let Ok(token) = URL_SAFE_NO_PAD.decode(token) else { return false };
        if token.len() != 2 * KEY {
            return false;
        }
        let (mask, masked) = token.split_at(KEY);
        let key: Vec<u8> = mask.iter().zip(masked).map(|(mask, masked)| mask ^ masked).collect();
        key.ct_eq(&self.0).into()
    }
}

/// The fields of a form that came from a page of this visitor.
#[derive(Debug)]
pub(super) struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// The value of a field, without spaces around it; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The value of a field as it was typed: a password may begin with a space.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// The value of a field of several lines, as it was typed; browsers end lines as terminals did.
    pub(super) fn lines(&self, name: &str) -> String {
        self.raw(name).replace("\r\n", "\n")
    }

    /// All values of a field that are not empty.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(field, value)| field == name && !value.trim().is_empty());
        values.map(|(_, value)| value.trim().to_owned()).collect()
    }
}

/// A form of somebody who is logged in.
pub(super) struct Posted {
    pub visit: Visit,
    pub fields: FormFields,
}

impl FromRequest for Posted {
    type Error = PageFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self, PageFailed>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let visit = Visit::from_request(&request, &mut payload).await?;
            let fields = receive(&request, payload, visit.form_key, MAX_FORM).await?;
            Ok(Self { visit, fields })
        })
    }
}

/// A form of somebody who is not logged in.
pub(super) struct StrangerPosted {
    pub form_key: FormKey,
    pub fields: FormFields,
}

impl FromRequest for StrangerPosted {
    type Error = PageFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self, PageFailed>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            // Anybody can make the token of no cookie, so nothing is read of those who have none.
            let cookie = cookie(&request, VISITOR).ok_or_else(|| forged(&request))?;
            let form_key = FormKey::of(&cookie);
            let fields = receive(&request, payload, form_key, MAX_FORM_OF_STRANGER).await?;
            Ok(Self { form_key, fields })
        })
    }
}

async fn receive(
    request: &HttpRequest,
    mut payload: Payload,
    key: FormKey,
    limit: usize,
) -> Result<FormFields, PageFailed> {
    if is_foreign(request) {
        return Err(forged(request));
    }
    let invalid = |reason: &str| PageFailed::at(request, Error::invalid("form", reason));
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| invalid("it did not come whole"))?;
        if body.len() + chunk.len() > limit {
            return Err(invalid(&format!("it has more than {} KiB", limit / 1024)));
        }
        body.extend_from_slice(&chunk);
    }
    let text = std::str::from_utf8(&body).map_err(|_| invalid("it is no text"))?;
    let fields = web::Query::<Vec<(String, String)>>::from_query(text).map_err(|_| invalid("it cannot be read"))?;
    let fields = FormFields(fields.into_inner());
    if key.accepts(fields.raw(FIELD)) { Ok(fields) } else { Err(forged(request)) }
}

fn forged(request: &HttpRequest) -> PageFailed {
    if let Some(api) = request.app_data::<Data<AdminApi>>() {
        api.fleet.access.log_refused_form(api.peer(request), request.path());
    }
    PageFailed::forged(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_visitor_and_never_looks_the_same() {
        let key = FormKey::of("a cookie");
        let (one, other) = (key.token(), key.token());
        assert_ne!(one, other);
        assert!(key.accepts(&one) && key.accepts(&other));
        assert!(!FormKey::of("another cookie").accepts(&one));
        for bad in ["", "x", &one[1..], &format!("{one}AA"), "é"] {
            assert!(!key.accepts(bad), "{bad}");
        }
    }
}
