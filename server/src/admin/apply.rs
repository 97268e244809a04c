//! Changing what hosts run: all documents in one request, or one kind at a time for older clients.

use actix_web::web::Data;
use muster_api::rest::{Apply, OptionsSpec, SecretsSpec, SpecList, UserRoles};
use muster_api::spec::{DocumentKind, SpecDocument};
use serde_json::Value;

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, Failed};
use crate::fleet::{Error, Problem};

pub(super) async fn apply(api: Data<AdminApi>, caller: Caller, request: JsonBody<Apply>) -> AdminAnswer {
    let Apply { documents, dry_run } = request.into_inner();
    Ok(ok(&api.fleet.applier.apply(&caller.0, documents, dry_run).await?))
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, request: JsonBody<Apply>) -> AdminAnswer {
    let Apply { documents, dry_run } = request.into_inner();
    Ok(ok(&api.fleet.applier.delete(&caller.0, documents, dry_run).await?))
}

pub(super) async fn queries(api: Data<AdminApi>, caller: Caller, request: JsonBody<SpecList<Value>>) -> AdminAnswer {
    specs(&api, &caller, DocumentKind::Query, request.into_inner().specs).await
}

pub(super) async fn packs(api: Data<AdminApi>, caller: Caller, request: JsonBody<SpecList<Value>>) -> AdminAnswer {
    specs(&api, &caller, DocumentKind::Pack, request.into_inner().specs).await
}

pub(super) async fn labels(api: Data<AdminApi>, caller: Caller, request: JsonBody<SpecList<Value>>) -> AdminAnswer {
    specs(&api, &caller, DocumentKind::Label, request.into_inner().specs).await
}

pub(super) async fn enroll_secret(api: Data<AdminApi>, caller: Caller, request: JsonBody<SecretsSpec>) -> AdminAnswer {
    singleton(&api, &caller, SpecDocument::EnrollSecret(request.into_inner().spec)).await
}

pub(super) async fn options(api: Data<AdminApi>, caller: Caller, request: JsonBody<OptionsSpec>) -> AdminAnswer {
    singleton(&api, &caller, SpecDocument::Options(request.into_inner().spec)).await
}

pub(super) async fn user_roles(api: Data<AdminApi>, caller: Caller, request: JsonBody<UserRoles>) -> AdminAnswer {
    singleton(&api, &caller, SpecDocument::UserRoles(request.into_inner().spec)).await
}

/// Merges a part of the configuration and answers with the whole.
pub(super) async fn patch_config(api: Data<AdminApi>, caller: Caller, request: JsonBody<Value>) -> AdminAnswer {
    let applied = api.fleet.applier.apply_specs(&caller.0, DocumentKind::Config, vec![request.into_inner()]).await;
    applied.map_err(|error| with_short_paths(error, DocumentKind::Config))?;
    Ok(ok(&api.fleet.specs.config(&caller.0).await?))
}

async fn specs(api: &AdminApi, caller: &Caller, kind: DocumentKind, specs: Vec<Value>) -> AdminAnswer {
    let applied = api.fleet.applier.apply_specs(&caller.0, kind, specs).await;
    applied.map_err(|error| with_short_paths(error, kind))?;
    Ok(done())
}

async fn singleton(api: &AdminApi, caller: &Caller, spec: SpecDocument) -> AdminAnswer {
    let kind = spec.kind();
    let applied = api.fleet.applier.apply_spec(&caller.0, spec).await;
    applied.map_err(|error| with_short_paths(error, kind))?;
    Ok(done())
}

/// Callers of these operations sent specs and not documents: the paths of problems start at the spec.
fn with_short_paths(error: Error, kind: DocumentKind) -> Failed {
    let Error::Invalid(problems) = error else { return error.into() };
    let shorten = |problem: Problem| {
        let path = problem.path.replace("documents[", "specs[").replacen("].spec", "]", 1);
        let path = if kind.is_singleton() { path.trim_start_matches("specs[0].").to_owned() } else { path };
        Problem { path, ..problem }
    };
    Error::Invalid(problems.into_iter().map(shorten).collect()).into()
}
