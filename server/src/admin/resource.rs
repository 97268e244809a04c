//! The handlers that labels, packs, saved queries and users share.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{Enveloped, FieldError};
use serde::de::DeserializeOwned;

use super::AdminApi;
use super::answer::Done;
use super::auth::Caller;
use super::body::JsonBody;
use super::error::AdminAnswer;
use super::params::Params;
use crate::fleet::access::Principal;
use crate::fleet::resource::{Made, NamedResource, Resource};
use crate::fleet::{Fleet, Problem};

pub(super) async fn list<R>(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error>
where
    R: Resource<View: Enveloped>,
{
    let listing = Params::listing(&request)?;
    Ok(api
        .read(&caller, move |fleet, principal| async move {
            Ok(R::View::list(R::of(&fleet).list(&principal, &listing).await?))
        })
        .await?)
}

pub(super) async fn by_id<R>(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer
where
    R: Resource<View: Enveloped>,
{
    // Labels and packs are shown with the number of their hosts.
    let (fleet, principal, id) = (api.fleet.clone(), caller.0.clone(), *id);
    api.lists
        .send(&caller.0, move || async move { Ok(R::of(&fleet).by_id(&principal, id).await?.one(Vec::new())) })
        .await
}

pub(super) async fn create<R>(api: Data<AdminApi>, caller: Caller, new: JsonBody<R::New>) -> AdminAnswer
where
    R: Resource<View: Enveloped, New: DeserializeOwned + Send + 'static>,
{
    let new = new.into_inner();
    let create =
        move |fleet: Fleet, by: Principal| async move { Ok(with_warnings(R::of(&fleet).create(&by, &new).await?)) };
    api.change(&caller, create).await
}

pub(super) async fn edit<R>(api: Data<AdminApi>, caller: Caller, id: Path<i64>, edit: JsonBody<R::Edit>) -> AdminAnswer
where
    R: Resource<View: Enveloped, Edit: DeserializeOwned + Send + 'static>,
{
    let edited = edit.into_inner();
    let edit = move |fleet: Fleet, by: Principal| async move {
        Ok(with_warnings(R::of(&fleet).edit(&by, *id, &edited).await?))
    };
    api.change(&caller, edit).await
}

fn with_warnings<V: Enveloped>(made: Made<V>) -> V::One {
    made.view.one(fields_of(made.warnings))
}

/// Warnings, as answers have them.
pub(super) fn fields_of(warnings: Vec<Problem>) -> Vec<FieldError> {
    warnings.into_iter().map(|problem| FieldError { name: problem.path, reason: problem.reason }).collect()
}

pub(super) async fn delete<R: Resource>(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    let delete = move |fleet: Fleet, by: Principal| async move {
        R::of(&fleet).delete(&by, *id).await?;
        Ok(Done {})
    };
    api.change(&caller, delete).await
}

pub(super) async fn delete_named<R>(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer
where
    R: NamedResource,
{
    let delete = move |fleet: Fleet, by: Principal| async move {
        R::of(&fleet).delete_named(&by, &name).await?;
        Ok(Done {})
    };
    api.change(&caller, delete).await
}
