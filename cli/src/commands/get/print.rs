use anyhow::Context as _;
use muster_api::spec::API_VERSION;
use serde::Serialize;
use serde_json::Value;

use super::DocumentFormat;
use crate::{documents, output};

/// A document to print: kind and spec.
pub struct PrintedDocument {
    kind: &'static str,
    spec: Value,
}

impl PrintedDocument {
    pub fn new<T: Serialize>(kind: &'static str, spec: &T) -> anyhow::Result<Self> {
        let spec = serde_json::to_value(spec).context("cannot print the response")?;
        Ok(Self { kind, spec })
    }

    pub fn all<T: Serialize>(kind: &'static str, specs: &[T]) -> anyhow::Result<Vec<Self>> {
        specs.iter().map(|spec| Self::new(kind, spec)).collect()
    }
}

#[derive(Serialize)]
struct DocumentLine<'a> {
    kind: &'a str,
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    spec: &'a Value,
}

/// Prints documents one after the other.
pub fn items(items: &[PrintedDocument], format: DocumentFormat) -> anyhow::Result<()> {
    let mut text = String::new();
    for item in items {
        if format.is_json() {
            let line = DocumentLine { kind: item.kind, api_version: API_VERSION, spec: &item.spec };
            text.push_str(&serde_json::to_string(&line).context("cannot print the response")?);
            text.push('\n');
        } else {
            text.push_str(&documents::document(item.kind, &item.spec)?);
        }
    }
    output::data(&text)
}
