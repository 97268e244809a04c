use std::pin::pin;

use actix_web::HttpResponse;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use muster_api::osquery::{Enroll, answer::enrolled};

use super::answer::{Refusal, answer};
use super::request::{AgentRequest, Sender};
use super::{AgentApi, body};
use crate::fleet::Error;

/// Gives a node key to a host that shows a valid enroll secret.
pub(super) async fn enroll(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> HttpResponse {
    let work = pin!(async {
        let body = body::read(api, request, payload, api.caps.enroll).await?;
        let enroll = Enroll::read(&body.bytes)?;
        let outcome = api.fleet.hosts.enroll(&enroll).await;
        if outcome.is_err() {
            let details = &enroll.host_details;
            let name = details.get("system_info", "hostname").or(enroll.host_identifier.as_deref());
            request.is_from(Sender::Claims(name.unwrap_or_default().to_owned()));
        }
        match outcome {
            Ok(key) => Ok(enrolled(key.reveal()).into()),
            Err(Error::Unauthenticated) => Err(Refusal::InvalidKey("enroll failed: no matching secret found".into())),
            Err(Error::NotAdmitted(reason)) => Err(Refusal::InvalidKey(format!("enroll failed: {reason}").into())),
            Err(Error::TooMany { .. }) => {
                Err(refused(StatusCode::TOO_MANY_REQUESTS, "too many hosts enroll at one time; try again"))
            }
            Err(other) => Err(match other.into() {
                Refusal::Error(status, reason) => refused(status, &reason),
                other => other,
            }),
        }
    });
    answer(api, request, &api.endpoints.enroll, work).await
}

fn refused(status: StatusCode, reason: &str) -> Refusal {
    Refusal::Error(status, format!("enroll failed: {reason}"))
}
