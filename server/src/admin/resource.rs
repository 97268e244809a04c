//! The handlers that labels, packs, saved queries and users share.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::Enveloped;
use serde::de::DeserializeOwned;

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::AdminAnswer;
use super::params::Params;
use crate::fleet::resource::{NamedResource, Resource};

pub(super) async fn list<R>(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error>
where
    R: Resource<View: Enveloped>,
{
    let listing = Params::listing(&request)?;
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    let read = move || async move { Ok(R::View::list(R::of(&fleet).list(&principal, &listing).await?)) };
    Ok(api.lists.send(&caller.0, read).await?)
}

pub(super) async fn by_id<R>(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer
where
    R: Resource<View: Enveloped>,
{
    // Labels and packs are shown with the number of their hosts.
    let (fleet, principal, id) = (api.fleet.clone(), caller.0.clone(), *id);
    api.lists.send(&caller.0, move || async move { Ok(R::of(&fleet).by_id(&principal, id).await?.one()) }).await
}

pub(super) async fn create<R>(api: Data<AdminApi>, caller: Caller, new: JsonBody<R::New>) -> AdminAnswer
where
    R: Resource<View: Enveloped, New: DeserializeOwned + 'static>,
{
    Ok(ok(&R::of(&api.fleet).create(&caller.0, &new).await?.one()))
}

pub(super) async fn edit<R>(api: Data<AdminApi>, caller: Caller, id: Path<i64>, edit: JsonBody<R::Edit>) -> AdminAnswer
where
    R: Resource<View: Enveloped, Edit: DeserializeOwned + 'static>,
{
    Ok(ok(&R::of(&api.fleet).edit(&caller.0, *id, &edit).await?.one()))
}

pub(super) async fn delete<R: Resource>(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    R::of(&api.fleet).delete(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete_named<R>(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer
where
    R: NamedResource,
{
    R::of(&api.fleet).delete_named(&caller.0, &name).await?;
    Ok(done())
}
