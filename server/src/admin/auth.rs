use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use tokio::sync::OnceCell;

use super::AdminApi;
use super::error::Failed;
use crate::bearer::bearer;
use crate::fleet::Error;
use crate::fleet::access::Principal;

/// The user who sent the request, found by its bearer token. An operation with this argument refuses strangers.
pub(super) struct Caller(pub Principal);

/// Kept with the request, so that the session is looked up once, whichever extractor asks first.
#[derive(Clone, Default)]
struct KnownCaller(Rc<OnceCell<Principal>>);

impl FromRequest for Caller {
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failed>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let api = request.app_data::<Data<AdminApi>>().cloned();
        let token = bearer(request).map(str::to_owned);
        let known = request.extensions_mut().get_or_insert_with(KnownCaller::default).clone();
        Box::pin(async move {
            let (Some(api), Some(token)) = (api, token) else { return Err(Failed(Error::Unauthenticated)) };
            // The extractors of a request run side by side: one authenticates, the others wait for it. A failure is not
            // kept, but it ends the request before another extractor tries again.
            let principal = known.0.get_or_try_init(|| api.fleet.access.authenticate(&token)).await?;
            Ok(Self(principal.clone()))
        })
    }
}
