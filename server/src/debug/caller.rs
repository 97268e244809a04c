//! Who asks: an admin, of this node.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use super::DebugApi;
use super::refusal::DebugRefusal;
use crate::bearer::bearer;
use crate::fleet::Error;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::diagnostics::Recognized;

/// Names the node that a request is for, and in each answer the node that answers.
pub(super) const NODE_HEADER: &str = "muster-node";

/// An admin who may ask now. A handler with this argument refuses everybody else.
pub(super) struct DebugCaller {
    pub principal: Principal,
    /// The session may have ended: the database does not answer.
    pub is_remembered: bool,
}

impl FromRequest for DebugCaller {
    type Error = DebugRefusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, DebugRefusal>>>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let api = request.app_data::<Data<DebugApi>>().cloned();
        let token = bearer(request).map(str::to_owned);
        let node = request.headers().get(NODE_HEADER).map(|node| node.as_bytes().to_owned());
        Box::pin(async move {
            let (Some(api), Some(token)) = (api, token) else { return Err(Error::Unauthenticated.into()) };
            let Recognized { principal, is_remembered } = api.fleet.diagnostics.recognize(&token).await?;
            principal.may(Permission::Debug)?;
            let here = api.fleet.node.id();
            if node.is_some_and(|node| node != here.as_bytes()) {
                return Err(DebugRefusal::OtherNode { here: here.to_owned() });
            }
            let taken = api.quotas.take(principal.user.id, api.fleet.clock.now());
            taken.map_err(|retry_after| Error::TooMany { retry_after })?;
            Ok(Self { principal, is_remembered })
        })
    }
}
