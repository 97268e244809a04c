use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use super::AdminApi;
use super::error::Failed;
use crate::fleet::Error;
use crate::fleet::access::Principal;

/// Whoever sent the request, by its bearer token. An operation that takes it cannot be used without one.
pub(super) struct Caller(pub Principal);

impl FromRequest for Caller {
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failed>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let api = request.app_data::<Data<AdminApi>>().cloned();
        let token = bearer(request).map(str::to_owned);
        Box::pin(async move {
            let (Some(api), Some(token)) = (api, token) else { return Err(Failed(Error::Unauthenticated)) };
            Ok(Self(api.fleet.access.authenticate(&token).await?))
        })
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
