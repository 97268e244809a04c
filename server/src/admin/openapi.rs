//! The description of the API in OpenAPI 3.1, made from the table of operations.

use std::borrow::Cow;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::web::Data;
use muster_api::rest::{BASES, ErrorBody, Role};
use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use super::AdminApi;
use super::operation::{Body, Needs, Operation};
use super::operations::{SET_UP_BASES, set_up};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut text = format!("{:#}", build());
    text.push('\n');
    text
});

/// The description of the API, as JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

pub(super) async fn serve(api: Data<AdminApi>) -> HttpResponse {
    let text = served(&api.fleet.schedule.built_in().url_prefix);
    HttpResponse::Ok().content_type("application/json; charset=utf-8").body(text)
}

/// The description with the prefix of this server in all paths.
fn served(url_prefix: &str) -> Cow<'static, str> {
    if url_prefix.is_empty() {
        return Cow::Borrowed(document());
    }
    let mut prefixed = build();
    let set_up = set_up();
    prefixed["servers"] = servers(&BASES, url_prefix);
    prefixed["paths"][set_up.path]["servers"] = servers(&SET_UP_BASES, url_prefix);
    Cow::Owned(format!("{prefixed:#}\n"))
}

/// The schemas of a document. What is sent may leave out defaults, what is received has them: one generator for each.
struct Schemas {
    requests: SchemaGenerator,
    responses: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let generator = |contract| {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self { requests: generator(Contract::Deserialize), responses: generator(Contract::Serialize) }
    }

    /// All named schemas. A type that is both sent and received has the schema of requests, which its responses satisfy.
    fn into_named(mut self) -> Map<String, Value> {
        let mut named = self.responses.take_definitions(true);
        named.extend(self.requests.take_definitions(true));
        named.sort_keys();
        named
    }
}

fn build() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in super::all_operations() {
        add(&mut paths, &operation, describe(&operation, &mut schemas));
    }
    let set_up = set_up();
    add(&mut paths, &set_up, describe(&set_up, &mut schemas));
    paths[set_up.path]["servers"] = servers(&SET_UP_BASES, "");
    let refusal = json!({
        "description": "The request is refused: 400 malformed, 401 not authenticated, 403 not permitted, 404 not found, \
            409 name taken, 413 too large, 415 not JSON, 422 invalid contents, 429 too many requests (see `Retry-After`), \
            500 internal error, 503 try again.",
        "content": { "application/json": { "schema": schemas.responses.subschema_for::<ErrorBody>() } },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Muster",
            "version": "1",
            "description": "The REST API of Muster. `x-least-role` is the least role that may use an operation.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": servers(&BASES, ""),
        "security": [{ "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.into_named(),
            "responses": { "Refusal": refusal },
            "securitySchemes": {
                "session": { "type": "http", "scheme": "bearer", "description": "The token that `POST login` gives." },
            },
        },
    })
}

fn servers(bases: &[&str], url_prefix: &str) -> Value {
    bases.iter().map(|base| json!({ "url": format!("{url_prefix}{base}") })).collect()
}

fn add(paths: &mut Map<String, Value>, operation: &Operation, description: Value) {
    let path = paths.entry(operation.path).or_insert_with(|| json!({}));
    path[operation.method.as_str().to_lowercase()] = description;
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut description = json!({
        "operationId": operation.id(),
        "tags": [operation.path.split('/').nth(1).unwrap_or_default()],
        "summary": operation.summary,
    });
    if !operation.note.is_empty() {
        description["description"] = operation.note.into();
    }
    match least_role(operation.needs) {
        Some(role) => description["x-least-role"] = json!(role),
        None => description["security"] = json!([]),
    }
    let parameters = parameters(operation, &mut schemas.requests);
    if !parameters.is_empty() {
        description["parameters"] = parameters.into();
    }
    if let Some(content) = content(operation.request, &mut schemas.requests) {
        description["requestBody"] = json!({ "required": true, "content": content });
    }
    let empty = || json!({ "application/json": { "schema": { "type": "object", "maxProperties": 0 } } });
    let (status, response) = match operation.response {
        Body::Socket => ("101", json!({ "description": "Switching to a WebSocket." })),
        body => {
            let content = content(body, &mut schemas.responses).unwrap_or_else(empty);
            ("200", json!({ "description": "Success.", "content": content }))
        }
    };
    description["responses"] = json!({ status: response, "default": { "$ref": "#/components/responses/Refusal" } });
    description
}

/// The media type and schema of a body.
fn content(body: Body, generator: &mut SchemaGenerator) -> Option<Value> {
    match body {
        Body::Json(schema) => Some(json!({ "application/json": { "schema": schema(generator) } })),
        Body::JsonLines(schema) => Some(json!({ "application/x-ndjson": { "schema": schema(generator) } })),
        Body::Export(schema) => Some(json!({
            "application/x-ndjson": { "schema": schema(generator) },
            "text/csv": { "schema": { "type": "string" } },
        })),
        Body::File => Some(json!({
            "application/x-tar": { "schema": { "type": "string", "format": "binary" } },
            "application/zstd": { "schema": { "type": "string", "format": "binary" } },
        })),
        Body::Empty | Body::Socket => None,
    }
}

fn parameters(operation: &Operation, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(|name| {
        let schema =
            if name == "id" { json!({ "type": "integer", "format": "int64" }) } else { json!({ "type": "string" }) };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let in_query = operation.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "required": parameter.is_required,
            "description": parameter.about,
            "schema": parameter.kind.schema(generator),
        })
    });
    in_path.chain(in_query).collect()
}

fn least_role(needs: Needs) -> Option<Role> {
    match needs {
        Needs::Nothing => None,
        Needs::Session => Some(Role::Observer),
        Needs::Permission(permission) => Some(permission.least_role()),
    }
}
