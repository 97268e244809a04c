//! Hosts as a file: comma-separated values, or one JSON object a line.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::AdminApi;
use super::auth::Caller;
use super::error::bad_parameter;
use super::hosts::{self, host_filter};
use super::lists::{COLUMNS, Column, HostFormat};
use super::params::{Parameter, ParameterKind, Params};

/// The kind of a file.
#[derive(Debug, Clone, Copy)]
enum FileFormat {
    Csv,
    Ndjson,
}

/// The words for the formats.
const FORMATS: [(&str, FileFormat); 2] = [("csv", FileFormat::Csv), ("ndjson", FileFormat::Ndjson)];

pub(super) async fn report(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let format = params.one_of("format", &FORMATS)?;
    let format = format.ok_or_else(|| bad_parameter("format is missing; give csv or ndjson"))?;
    let columns = columns(params.text("columns"))?;
    let filter = host_filter(params)?;
    let (format, ending) = match (format, columns) {
        (FileFormat::Csv, columns) => (HostFormat::Csv(columns.unwrap_or_else(|| COLUMNS.to_vec())), "csv"),
        (FileFormat::Ndjson, None) => (HostFormat::Ndjson, "ndjson"),
        (FileFormat::Ndjson, Some(_)) => {
            return Err(bad_parameter("columns go with format=csv; lines of JSON have all keys"));
        }
    };
    let date = api.fleet.clock.now().to_utc().format("%Y-%m-%d");
    let file = format!("Hosts {date}.{ending}");
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    let begin = move || async move { fleet.hosts.list(&principal, &filter).await };
    Ok(api.lists.send_hosts(&caller.0, format, Some(file), begin).await?)
}

/// The columns that are asked for, in that order.
fn columns(names: Option<String>) -> Result<Option<Vec<Column>>, actix_web::Error> {
    let Some(names) = names else { return Ok(None) };
    let known = |name: &str| {
        let column = COLUMNS.iter().find(|column| **column == name).copied();
        column.ok_or_else(|| bad_parameter(format!("unknown column {name}; known are {}", COLUMNS.join(", "))))
    };
    names.split(',').map(str::trim).map(known).collect::<Result<_, _>>().map(Some)
}

/// The description of the parameters.
pub(super) fn parameters() -> Vec<Parameter> {
    let formats = ParameterKind::OneOf(FORMATS.iter().map(|(word, _)| *word).collect());
    let format = Parameter::new("format", formats, "Comma-separated values, or one JSON object a line.");
    let columns = "The columns of comma-separated values, by the keys of a host, separated by commas; all by default.";
    let mut parameters =
        vec![Parameter { is_required: true, ..format }, Parameter::new("columns", ParameterKind::Text, columns)];
    parameters.extend(hosts::parameters());
    parameters
}
