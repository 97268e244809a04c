use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use muster_api::rest::FREEZE_OVERRIDE;
use tokio::sync::OnceCell;

use super::AdminApi;
use super::error::Failed;
use crate::bearer::bearer;
use crate::fleet::Error;
use crate::fleet::access::{Access, Principal};

/// The user who sent the request, found by its bearer token. An operation with this argument refuses strangers.
pub(super) struct Caller(pub Principal);

/// A request that is to pass a change freeze.
struct OverridingRequest {
    reason: Vec<u8>,
    /// Method and path.
    operation: String,
}

impl OverridingRequest {
    /// `None` without a reason, and for what only reads: `fleetctl` sends the reason with every request of a command.
    fn of(request: &HttpRequest) -> Option<Self> {
        let reason = request.headers().get(FREEZE_OVERRIDE)?.as_bytes().to_vec();
        let reads = request.method() == Method::GET && !request.path().ends_with(RUNS_BY_GET);
        (!reads).then(|| Self { reason, operation: format!("{} {}", request.method(), request.path()) })
    }
}

/// The end of the one path whose GET asks hosts.
const RUNS_BY_GET: &str = "/queries/run";

async fn find(access: &Access, token: &str, overriding: Option<OverridingRequest>) -> Result<Principal, Error> {
    let principal = access.authenticate(token).await?;
    match overriding {
        Some(OverridingRequest { reason, operation }) => access.override_freeze(principal, &reason, &operation).await,
        None => Ok(principal),
    }
}

/// Kept with the request, so that the session is looked up once, whichever extractor asks first.
#[derive(Clone, Default)]
struct KnownCaller(Rc<OnceCell<Principal>>);

impl FromRequest for Caller {
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failed>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let api = request.app_data::<Data<AdminApi>>().cloned();
        let token = bearer(request).map(str::to_owned);
        let overriding = OverridingRequest::of(request);
        let known = request.extensions_mut().get_or_insert_with(KnownCaller::default).clone();
        Box::pin(async move {
            let (Some(api), Some(token)) = (api, token) else { return Err(Failed(Error::Unauthenticated)) };
            // The extractors of a request run side by side: one authenticates, the others wait for it. A failure is not
            // kept, but it ends the request before another extractor tries again.
            let look_up = || find(&api.fleet.access, &token, overriding);
            Ok(Self(known.0.get_or_try_init(look_up).await?.clone()))
        })
    }
}
