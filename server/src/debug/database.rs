//! The database, as it sees itself.

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Data;
use muster_api::rest::debug::{DbLock, DbProcess, DbSettings, DbStatement, DbTable};
use serde::Serialize;

use super::DebugApi;
use super::caller::DebugCaller;
use super::refusal::{DebugAnswer, DebugRefusal};
use crate::fleet::Error;
use crate::fleet::diagnostics::Unshown;

impl From<Unshown> for DebugRefusal {
    fn from(why: Unshown) -> Self {
        match why {
            Unshown::NotHere(reason) => Self::NotHere(reason),
            Unshown::Unavailable(reason) => Self::Fleet(Error::Unavailable(reason)),
        }
    }
}

/// Statements that wait for row locks.
pub(super) async fn locks(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    listed::<_, DbLock>(&api, api.fleet.diagnostics.database.locks().await?).await
}

/// InnoDB's status.
pub(super) async fn innodb_status(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let status = api.fleet.diagnostics.database.innodb_status().await?;
    let text = api.in_pool(move || status.redacted()).await?;
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(text))
}

/// Connections to the database.
pub(super) async fn process_list(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    listed::<_, DbProcess>(&api, api.fleet.diagnostics.database.processes().await?).await
}

/// Statements that take most time.
pub(super) async fn statements(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    listed::<_, DbStatement>(&api, api.fleet.diagnostics.database.statements().await?).await
}

/// Version, settings and figures.
pub(super) async fn settings(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    let settings = api.fleet.diagnostics.database.settings().await?;
    Ok(HttpResponse::Ok().json(DbSettings::from(settings)))
}

/// Rows and bytes of each table.
pub(super) async fn tables(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    listed::<_, DbTable>(&api, api.fleet.diagnostics.database.tables().await?).await
}

/// A list as JSON, made in the pool.
async fn listed<F, T>(api: &DebugApi, found: Vec<F>) -> DebugAnswer
where
    F: Send + 'static,
    T: From<F> + Serialize,
{
    let body = api.in_pool(move || serde_json::to_vec(&found.into_iter().map(T::from).collect::<Vec<T>>())).await?;
    let body = body.map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}
