//! Changing what hosts run: all documents in one request, or one kind at a time for older clients.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{
    AppliedSpecs, Apply, ApplyPlanEnvelope, FieldError, NewPlan, PlanList, ShownPlanEnvelope, SpecList,
    UncheckedSecrets, UncheckedSpec,
};
use muster_api::spec::DocumentKind;
use serde_json::{Value, json};

use super::AdminApi;
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, bad_parameter};
use super::params::Params;
use crate::fleet::access::Principal;
use crate::fleet::apply::ApplyWish;
use crate::fleet::{Error, Fleet, Problem, Result};

type ApplyAnswer = std::result::Result<HttpResponse, actix_web::Error>;

pub(super) async fn apply(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<Apply>,
) -> ApplyAnswer {
    let Apply { documents, plan, max_deletes, dry_run, force, delete_unnamed } = request.into_inner();
    let wish = ApplyWish { dry_run: Params::dry_run(&http)? || dry_run, force, max_deletes, delete_unnamed };
    if plan.is_some() && (!documents.is_empty() || force || delete_unnamed) {
        return Err(bad_parameter("a plan has its documents, and says how they are applied; give the plan alone"));
    }
    let apply = move |fleet: Fleet, by: Principal| async move {
        match plan {
            Some(id) => fleet.applier.apply_plan(&by, id, wish).await,
            None => fleet.applier.apply(&by, documents, wish).await,
        }
    };
    Ok(api.change(&caller, apply).await?)
}

pub(super) async fn plan(api: Data<AdminApi>, caller: Caller, request: JsonBody<NewPlan>) -> ApplyAnswer {
    let NewPlan { documents, force, max_deletes, delete_unnamed } = request.into_inner();
    let wish = ApplyWish { dry_run: true, force, max_deletes, delete_unnamed };
    let plan = move |fleet: Fleet, by: Principal| async move {
        Ok(ApplyPlanEnvelope { plan: fleet.applier.plan(&by, documents, wish).await? })
    };
    Ok(api.change(&caller, plan).await?)
}

pub(super) async fn plans(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let list =
        |fleet: Fleet, by: Principal| async move { Ok(PlanList { plans: fleet.applier.kept_plans(&by).await? }) };
    api.read(&caller, list).await
}

/// Tries to apply it, so it takes as long as a change.
pub(super) async fn shown_plan(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    let show = move |fleet: Fleet, by: Principal| async move {
        Ok(ShownPlanEnvelope { plan: fleet.applier.show_plan(&by, *id).await? })
    };
    api.change(&caller, show).await
}

pub(super) async fn delete(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<Apply>,
) -> ApplyAnswer {
    let Apply { documents, plan, max_deletes, dry_run, delete_unnamed, .. } = request.into_inner();
    if plan.is_some() || delete_unnamed {
        return Err(bad_parameter("plan and delete_unnamed are for applying; name what is to be deleted in documents"));
    }
    let wish = ApplyWish { dry_run: Params::dry_run(&http)? || dry_run, max_deletes, ..ApplyWish::default() };
    let delete = move |fleet: Fleet, by: Principal| async move { fleet.applier.delete(&by, documents, wish).await };
    Ok(api.change(&caller, delete).await?)
}

pub(super) async fn queries(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<SpecList<Value>>,
) -> ApplyAnswer {
    specs(&api, &caller, &http, DocumentKind::Query, request.into_inner().specs).await
}

pub(super) async fn packs(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<SpecList<Value>>,
) -> ApplyAnswer {
    specs(&api, &caller, &http, DocumentKind::Pack, request.into_inner().specs).await
}

pub(super) async fn labels(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<SpecList<Value>>,
) -> ApplyAnswer {
    specs(&api, &caller, &http, DocumentKind::Label, request.into_inner().specs).await
}

pub(super) async fn enroll_secret(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<UncheckedSecrets>,
) -> ApplyAnswer {
    specs(&api, &caller, &http, DocumentKind::EnrollSecret, vec![request.into_inner().spec]).await
}

pub(super) async fn options(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<UncheckedSpec>,
) -> ApplyAnswer {
    specs(&api, &caller, &http, DocumentKind::Options, vec![request.into_inner().spec]).await
}

pub(super) async fn global_schedule(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<UncheckedSpec>,
) -> ApplyAnswer {
    specs(&api, &caller, &http, DocumentKind::GlobalSchedule, vec![request.into_inner().spec]).await
}

pub(super) async fn user_roles(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<UncheckedSpec>,
) -> ApplyAnswer {
    specs(&api, &caller, &http, DocumentKind::UserRoles, vec![request.into_inner().spec]).await
}

/// Merges a part of the configuration and answers with the whole, and with warnings if there are any.
pub(super) async fn patch_config(
    api: Data<AdminApi>,
    caller: Caller,
    http: HttpRequest,
    request: JsonBody<Value>,
) -> ApplyAnswer {
    let (part, dry_run) = (request.into_inner(), Params::dry_run(&http)?);
    let patch = move |fleet: Fleet, by: Principal| async move {
        let warnings = warnings_of(&fleet, &by, DocumentKind::Config, vec![part], dry_run).await?;
        let mut config = fleet.specs.config(&by).await?;
        if !warnings.is_empty() {
            config["warnings"] = json!(warnings);
        }
        Ok(config)
    };
    Ok(api.change(&caller, patch).await?)
}

async fn specs(
    api: &AdminApi,
    caller: &Caller,
    http: &HttpRequest,
    kind: DocumentKind,
    specs: Vec<Value>,
) -> ApplyAnswer {
    let dry_run = Params::dry_run(http)?;
    let apply = move |fleet: Fleet, by: Principal| async move {
        Ok(AppliedSpecs { warnings: warnings_of(&fleet, &by, kind, specs, dry_run).await? })
    };
    Ok(api.change(caller, apply).await?)
}

/// Applies specs of one kind and gives the warnings.
async fn warnings_of(
    fleet: &Fleet,
    by: &Principal,
    kind: DocumentKind,
    specs: Vec<Value>,
    dry_run: bool,
) -> Result<Vec<FieldError>> {
    let applied = fleet.applier.apply_specs(by, kind, specs, dry_run).await;
    let mut warnings = applied.map_err(|error| with_short_paths(error, kind))?.warnings;
    for warning in &mut warnings {
        warning.name = short_path(&warning.name, kind);
    }
    Ok(warnings)
}

/// Callers of these operations sent specs and not documents: the paths of problems start at the spec.
fn with_short_paths(error: Error, kind: DocumentKind) -> Error {
    let Error::Invalid(problems) = error else { return error };
    let shorten = |problem: Problem| Problem { path: short_path(&problem.path, kind), ..problem };
    Error::Invalid(problems.into_iter().map(shorten).collect())
}

fn short_path(path: &str, kind: DocumentKind) -> String {
    let path = path.replace("documents[", "specs[").replacen("].spec", "]", 1);
    if kind.is_singleton() { path.trim_start_matches("specs[0].").to_owned() } else { path }
}
