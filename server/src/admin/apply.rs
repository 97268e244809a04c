//! Changing what hosts run: all documents in one request, or one kind at a time for older clients.

use actix_web::web::Data;
use muster_api::rest::{AppliedSpecs, Apply, FieldError, SpecList, UncheckedSecrets, UncheckedSpec};
use muster_api::spec::DocumentKind;
use serde_json::{Value, json};

use super::AdminApi;
use super::answer::ok;
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

pub(super) async fn enroll_secret(
    api: Data<AdminApi>,
    caller: Caller,
    request: JsonBody<UncheckedSecrets>,
) -> AdminAnswer {
    specs(&api, &caller, DocumentKind::EnrollSecret, vec![request.into_inner().spec]).await
}

pub(super) async fn options(api: Data<AdminApi>, caller: Caller, request: JsonBody<UncheckedSpec>) -> AdminAnswer {
    specs(&api, &caller, DocumentKind::Options, vec![request.into_inner().spec]).await
}

pub(super) async fn user_roles(api: Data<AdminApi>, caller: Caller, request: JsonBody<UncheckedSpec>) -> AdminAnswer {
    specs(&api, &caller, DocumentKind::UserRoles, vec![request.into_inner().spec]).await
}

/// Merges a part of the configuration and answers with the whole, and with warnings if there are any.
pub(super) async fn patch_config(api: Data<AdminApi>, caller: Caller, request: JsonBody<Value>) -> AdminAnswer {
    let warnings = warnings_of(&api, &caller, DocumentKind::Config, vec![request.into_inner()]).await?;
    let mut config = api.fleet.specs.config(&caller.0).await?;
    if !warnings.is_empty() {
        config["warnings"] = json!(warnings);
    }
    Ok(ok(&config))
}

async fn specs(api: &AdminApi, caller: &Caller, kind: DocumentKind, specs: Vec<Value>) -> AdminAnswer {
    Ok(ok(&AppliedSpecs { warnings: warnings_of(api, caller, kind, specs).await? }))
}

/// Applies specs of one kind and gives the warnings.
async fn warnings_of(
    api: &AdminApi,
    caller: &Caller,
    kind: DocumentKind,
    specs: Vec<Value>,
) -> Result<Vec<FieldError>, Failed> {
    let applied = api.fleet.applier.apply_specs(&caller.0, kind, specs).await;
    let mut warnings = applied.map_err(|error| with_short_paths(error, kind))?.warnings;
    for warning in &mut warnings {
        warning.name = short_path(&warning.name, kind);
    }
    Ok(warnings)
}

/// Callers of these operations sent specs and not documents: the paths of problems start at the spec.
fn with_short_paths(error: Error, kind: DocumentKind) -> Failed {
    let Error::Invalid(problems) = error else { return error.into() };
    let shorten = |problem: Problem| Problem { path: short_path(&problem.path, kind), ..problem };
    Error::Invalid(problems.into_iter().map(shorten).collect()).into()
}

fn short_path(path: &str, kind: DocumentKind) -> String {
    let path = path.replace("documents[", "specs[").replacen("].spec", "]", 1);
    if kind.is_singleton() { path.trim_start_matches("specs[0].").to_owned() } else { path }
}
