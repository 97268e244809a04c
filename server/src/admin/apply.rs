//! Changing what hosts run: all documents in one request, or one kind at a time for clients that know no better.

use actix_web::web::Data;
use muster_api::rest::{Apply, SecretsSpec, SpecList, UserRoles};
use muster_api::spec::DocumentKind;
use serde_json::{Value, json};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::AdminAnswer;
use crate::fleet::{Error, Problem};

pub(super) async fn apply(api: Data<AdminApi>, caller: Caller, request: JsonBody<Apply>) -> AdminAnswer {
    Ok(ok(&api.fleet.applier.apply(&caller.0, &request.documents, request.dry_run).await?))
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, request: JsonBody<Apply>) -> AdminAnswer {
    Ok(ok(&api.fleet.applier.delete(&caller.0, &request.documents, request.dry_run).await?))
}

pub(super) async fn queries(api: Data<AdminApi>, caller: Caller, request: JsonBody<SpecList<Value>>) -> AdminAnswer {
    one_kind(&api, &caller, DocumentKind::Query, request.into_inner().specs).await
}

pub(super) async fn packs(api: Data<AdminApi>, caller: Caller, request: JsonBody<SpecList<Value>>) -> AdminAnswer {
    one_kind(&api, &caller, DocumentKind::Pack, request.into_inner().specs).await
}

pub(super) async fn labels(api: Data<AdminApi>, caller: Caller, request: JsonBody<SpecList<Value>>) -> AdminAnswer {
    one_kind(&api, &caller, DocumentKind::Label, request.into_inner().specs).await
}

pub(super) async fn enroll_secret(api: Data<AdminApi>, caller: Caller, request: JsonBody<SecretsSpec>) -> AdminAnswer {
    let spec = serde_json::to_value(&request.spec).map_err(|error| Error::Internal(Box::new(error)))?;
    one_kind(&api, &caller, DocumentKind::EnrollSecret, vec![spec]).await
}

pub(super) async fn user_roles(api: Data<AdminApi>, caller: Caller, request: JsonBody<UserRoles>) -> AdminAnswer {
    let spec = serde_json::to_value(&request.spec).map_err(|error| Error::Internal(Box::new(error)))?;
    one_kind(&api, &caller, DocumentKind::UserRoles, vec![spec]).await
}

/// Merges a part of the configuration and answers with the whole.
pub(super) async fn patch_config(api: Data<AdminApi>, caller: Caller, request: JsonBody<Value>) -> AdminAnswer {
    one_kind(&api, &caller, DocumentKind::Config, vec![request.into_inner()]).await?;
    Ok(ok(&api.fleet.specs.config(&caller.0).await?))
}

async fn one_kind(api: &AdminApi, caller: &Caller, kind: DocumentKind, specs: Vec<Value>) -> AdminAnswer {
    let documents: Vec<Value> =
        specs.into_iter().map(|spec| json!({ "apiVersion": "v1", "kind": kind.as_str(), "spec": spec })).collect();
    let applied = api.fleet.applier.apply(&caller.0, &documents, false).await;
    applied.map_err(|error| with_short_places(error, kind))?;
    Ok(done())
}

/// Callers of these operations sent specs, not documents, and look for their problems there.
fn with_short_places(error: Error, kind: DocumentKind) -> Error {
    let Error::Invalid(problems) = error else { return error };
    let shorten = |problem: Problem| {
        let path = problem.path.replace("documents[", "specs[").replacen("].spec", "]", 1);
        let path = if kind.is_singleton() { path.trim_start_matches("specs[0].").to_owned() } else { path };
        Problem { path, ..problem }
    };
    Error::Invalid(problems.into_iter().map(shorten).collect())
}
