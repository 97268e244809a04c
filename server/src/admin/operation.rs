//! One operation, as the router and the OpenAPI document see it.

use actix_web::dev::Handler;
use actix_web::http::Method;
use actix_web::{FromRequest, Responder, Route};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::measured::measured;
use super::params::Parameter;
use crate::fleet::access::Permission;

/// The least that a caller needs for an operation. `fleet` checks it, on the object where it depends on the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// A session, whatever the role.
    Session,
    Permission(Permission),
}

impl From<Permission> for Needs {
    fn from(permission: Permission) -> Self {
        Self::Permission(permission)
    }
}

/// The body of a request or response.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// Of a request: no body. Of a response: `{}`.
    Empty,
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// One JSON value per line, or comma-separated values.
    Export(fn(&mut SchemaGenerator) -> Schema),
    /// One JSON value per line.
    JsonLines(fn(&mut SchemaGenerator) -> Schema),
    /// Bytes of an archive; a part of them if the request has `Range`.
    File,
    /// The response switches to a WebSocket.
    Socket,
}

/// One operation of the REST API.
pub(super) struct Operation {
    pub method: Method,
    /// The path below a base such as `/api/v1/fleet`; `{id}` is a number, all other parameters are text.
    pub path: &'static str,
    pub needs: Needs,
    pub summary: &'static str,
    /// Details that the summary leaves out.
    pub note: &'static str,
    pub parameters: Vec<Parameter>,
    pub request: Body,
    pub response: Body,
    route: Box<dyn Fn() -> Route>,
}

impl Operation {
    fn new<F, Args>(method: Method, path: &'static str, needs: Needs, summary: &'static str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = {
            let method = method.clone();
            Box::new(move || Route::new().method(method.clone()).to(handler.clone()))
        };
        let (parameters, request, response) = (Vec::new(), Body::Empty, Body::Empty);
        Self { method, path, needs, summary, note: "", parameters, request, response, route }
    }

    /// Adds what the summary leaves out.
    pub(super) fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// Sets the parameters of the query string.
    pub(super) fn parameters(self, parameters: Vec<Parameter>) -> Self {
        Self { parameters, ..self }
    }

    /// Sets the type of the request body.
    pub(super) fn takes<T: JsonSchema>(self) -> Self {
        Self { request: Body::Json(SchemaGenerator::subschema_for::<T>), ..self }
    }

    /// Sets the type of the response body.
    pub(super) fn gives<T: JsonSchema>(self) -> Self {
        Self { response: Body::Json(SchemaGenerator::subschema_for::<T>), ..self }
    }

    /// Sets the type of each line of the response.
    pub(super) fn gives_lines<T: JsonSchema>(self) -> Self {
        Self { response: Body::JsonLines(SchemaGenerator::subschema_for::<T>), ..self }
    }

    /// Sets the type of each line of the response, which may also be comma-separated values.
    pub(super) fn exports<T: JsonSchema>(self) -> Self {
        Self { response: Body::Export(SchemaGenerator::subschema_for::<T>), ..self }
    }

    /// Says that the response is an archive.
    pub(super) fn gives_file(self) -> Self {
        Self { response: Body::File, ..self }
    }

    /// Says that the response switches to a WebSocket.
    pub(super) fn opens_socket(self) -> Self {
        Self { response: Body::Socket, ..self }
    }

    /// The path as the router reads it: an id is a number, so that no word is taken for one.
    pub(super) fn pattern(&self) -> String {
        self.path.replace("{id}", "{id:[0-9]+}")
    }

    /// The route to the handler, for one worker.
    pub(super) fn route(&self) -> Route {
        measured((self.route)(), self.id())
    }

    /// A name for generated clients and metrics: `GET /hosts/{id}/config` is `getHostsByIdConfig`.
    pub(super) fn id(&self) -> String {
        let mut id = self.method.as_str().to_lowercase();
        for word in self.path.split(['/', '_', '.']).filter(|word| !word.is_empty()) {
            let (by, word) = match word.strip_prefix('{') {
                Some(name) => ("By", name.trim_end_matches('}')),
                None => ("", word),
            };
            id += by;
            id += &word[..1].to_uppercase();
            id += &word[1..];
        }
        id
    }
}

macro_rules! method {
    ($name:ident, $method:ident) => {
        pub(super) fn $name<F, Args>(
            path: &'static str,
            needs: impl Into<Needs>,
            summary: &'static str,
            handler: F,
        ) -> Operation
        where
            F: Handler<Args>,
            Args: FromRequest + 'static,
            F::Output: Responder + 'static,
        {
            Operation::new(Method::$method, path, needs.into(), summary, handler)
        }
    };
}

method!(get, GET);
method!(post, POST);
method!(patch, PATCH);
method!(delete, DELETE);
