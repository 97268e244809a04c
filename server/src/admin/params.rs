//! Query strings of lists, as Fleet's clients write them, and their description.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::error::bad_parameter;
use crate::fleet::listing::{ListOrder, Listing};

/// The number of rows of a page if only `page` is given.
const DEFAULT_PER_PAGE: u64 = 20;

/// Most rows of a page. Whoever wants all rows asks without a page: these are sent as they are read.
const MAX_PER_PAGE: u64 = 10_000;

/// The highest row number of the databases.
const MAX_ROW: u64 = i64::MAX.unsigned_abs();

/// Parameters with which Fleet's clients ask lists for more or less of each row. They narrow nothing.
const LIST_WITHOUT_EFFECT: [&str; 2] = ["include_host_counts", "merge_inherited"];

/// Parameters with which Fleet's clients make changes that are wrong or that others have made meanwhile. Wrong ones are
/// refused here in any case.
const APPLY_WITHOUT_EFFECT: [&str; 3] = ["force", "no_cache", "overwrite"];

/// Parameters of Fleet that narrow to a team.
const OF_TEAMS: [&str; 3] = ["fleet_id", "team_id", "team_name"];

/// The keys that all lists but that of hosts can be ordered by.
const ORDER_KEYS: [(&str, ListOrder); 4] = [
    ("id", ListOrder::Id),
    ("name", ListOrder::Name),
    ("created_at", ListOrder::CreatedAt),
    ("updated_at", ListOrder::UpdatedAt),
];

/// The parameters of a request. An operation must refuse those it does not know: see [`Params::finish`].
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    pub(super) fn of(request: &actix_web::HttpRequest) -> Result<Self, actix_web::Error> {
        let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| bad_parameter(format!("the query string cannot be read: {error}")))?;
        Ok(Self(pairs.into_inner().into_iter().collect()))
    }

    /// Parameters that did not come in a query string.
    pub(super) fn from_pairs<const N: usize>(pairs: [(&str, Option<String>); N]) -> Self {
        Self(pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    /// A parameter, unless it is absent or empty.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|text| !text.is_empty())
    }

    /// Reads the value `from` of a parameter as `to`.
    pub(super) fn rename(&mut self, name: &str, from: &str, to: &str) {
        if let Some(value) = self.0.get_mut(name).filter(|value| *value == from) {
            to.clone_into(value);
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, actix_web::Error> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(number) => u64::try_from(number).map(Some).map_err(|_| bad_parameter(format!("negative {name} value"))),
            Err(_) => Err(bad_parameter(format!("non-int {name} value"))),
        }
    }

    /// A list of ids, such as `3,17`; empty when absent.
    pub(super) fn ids(&mut self, name: &str) -> Result<Vec<i64>, actix_web::Error> {
        let Some(text) = self.text(name) else { return Ok(Vec::new()) };
        let ids = text.split(',').map(|id| id.trim().parse::<i64>().ok().filter(|id| *id >= 0));
        ids.collect::<Option<_>>().ok_or_else(|| bad_parameter(format!("{name} expects ids such as 3,17, not {text}")))
    }

    pub(super) fn id(&mut self, name: &str) -> Result<Option<i64>, actix_web::Error> {
        let id = self.number(name)?.map(i64::try_from).transpose();
        id.map_err(|_| bad_parameter(format!("{name} is no id")))
    }

    /// A switch; off when absent.
    pub(super) fn switch(&mut self, name: &str) -> Result<bool, actix_web::Error> {
        match self.text(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(bad_parameter(format!("{name} expects true or false, not {other}"))),
        }
    }

    /// The number of rows to skip and the number of rows to give; all rows if no page is given.
    pub(super) fn page(&mut self) -> Result<(u64, Option<u64>), actix_web::Error> {
        let page = self.number("page")?;
        let per_page = self.number("per_page")?;
        if per_page == Some(0) {
            return Err(bad_parameter("invalid per_page value"));
        }
        if per_page.is_some_and(|rows| rows > MAX_PER_PAGE) {
            return Err(bad_parameter(format!(
                "per_page is {MAX_PER_PAGE} at most; leave out page and per_page to get all rows in one answer"
            )));
        }
        if page.is_none() && per_page.is_none() {
            return Ok((0, None));
        }
        let rows = per_page.unwrap_or(DEFAULT_PER_PAGE);
        Ok((page.unwrap_or(0).saturating_mul(rows).min(MAX_ROW), Some(rows)))
    }

    /// The order, one of `known`, and whether in descending order.
    pub(super) fn order<T: Copy>(&mut self, known: &[(&str, T)]) -> Result<(Option<T>, bool), actix_web::Error> {
        let key = self.text("order_key");
        let is_descending = match self.text("order_direction").as_deref() {
            None | Some("asc") => false,
            Some(_) if key.is_none() => return Err(bad_parameter("order_key must be specified with order_direction")),
            Some("desc") => true,
            Some(other) => return Err(bad_parameter(format!("unknown order_direction: {other}"))),
        };
        let order = key.map(|key| pick("order_key", &key, known)).transpose()?;
        Ok((order, is_descending))
    }

    /// A parameter whose value is one of `known`.
    pub(super) fn one_of<T: Copy>(&mut self, name: &str, known: &[(&str, T)]) -> Result<Option<T>, actix_web::Error> {
        self.text(name).map(|word| pick(name, &word, known)).transpose()
    }

    /// Reads over parameters that have no effect here and narrow nothing elsewhere.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
    }

    /// Whether a change is only to be tried, as Fleet's clients ask for it; other parameters are refused, or ignored if they
    /// are without a meaning here.
    pub(super) fn dry_run(request: &actix_web::HttpRequest) -> Result<bool, actix_web::Error> {
        let mut params = Self::of(request)?;
        params.ignore(&APPLY_WITHOUT_EFFECT);
        let is_dry_run = params.switch("dry_run")?;
        params.finish()?;
        Ok(is_dry_run)
    }

    /// The parameters of [`list_parameters`], and no others.
    pub(super) fn listing(request: &actix_web::HttpRequest) -> Result<Listing, actix_web::Error> {
        let mut params = Self::of(request)?;
        params.ignore(&LIST_WITHOUT_EFFECT);
        let (offset, limit) = params.page()?;
        let (order, is_descending) = params.order(&ORDER_KEYS)?;
        let order = order.unwrap_or_default();
        let no_value = || bad_parameter("after expects a value of the order_key, as answers show it");
        let after = params.text("after").map(|text| order.value(&text).ok_or_else(no_value)).transpose()?;
        let text = params.text("query").unwrap_or_default();
        params.finish()?;
        Ok(Listing { text, after, order, is_descending, offset, limit })
    }

    /// Refuses parameters that were not read, so that a misspelt filter never lists everything.
    pub(super) fn finish(self) -> Result<(), actix_web::Error> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) if OF_TEAMS.contains(&name.as_str()) => {
                Err(bad_parameter(format!("there are no teams here, so leave out {name}; labels take their place")))
            }
            Some(name) => Err(bad_parameter(format!("unknown parameter {name}"))),
        }
    }
}

/// What a word stands for.
fn pick<T: Copy>(name: &str, word: &str, known: &[(&str, T)]) -> Result<T, actix_web::Error> {
    let found = known.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        bad_parameter(format!("unknown {name} {word}; known are {}", known.join(", ")))
    })
}

/// The description of a parameter.
pub(super) struct Parameter {
    pub name: &'static str,
    pub kind: ParameterKind,
    pub about: &'static str,
    pub is_required: bool,
}

/// The values of a parameter.
pub(super) enum ParameterKind {
    Text,
    Number,
    Switch,
    OneOf(Vec<&'static str>),
    /// The values of a type that serde knows.
    Typed(fn(&mut SchemaGenerator) -> Schema),
}

impl Parameter {
    /// A parameter that may be left out.
    pub(super) fn new(name: &'static str, kind: ParameterKind, about: &'static str) -> Self {
        Self { name, kind, about, is_required: false }
    }
}

impl ParameterKind {
    pub(super) fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        match self {
            Self::Text => json_schema!({ "type": "string" }),
            Self::Number => json_schema!({ "type": "integer", "format": "int64", "minimum": 0 }),
            Self::Switch => json_schema!({ "type": "boolean" }),
            Self::OneOf(words) => json_schema!({ "type": "string", "enum": words }),
            Self::Typed(schema) => schema(generator),
        }
    }
}

/// The parameters of pages that are ordered by one of `order_keys`.
pub(super) fn page_parameters<T>(order_keys: &[(&'static str, T)]) -> Vec<Parameter> {
    let keys = order_keys.iter().map(|(name, _)| *name).collect();
    vec![
        Parameter::new(
            "page",
            ParameterKind::Number,
            "The page, from 0. Without page and per_page all rows are given.",
        ),
        Parameter::new(
            "per_page",
            ParameterKind::Number,
            "The number of rows of a page, 20 by default and 10,000 at most.",
        ),
        Parameter::new("order_key", ParameterKind::OneOf(keys), "The field to order by, id by default."),
        Parameter::new(
            "order_direction",
            ParameterKind::OneOf(vec!["asc", "desc"]),
            "The direction; desc needs order_key.",
        ),
    ]
}

/// The parameters of all lists but that of hosts.
pub(super) fn list_parameters() -> Vec<Parameter> {
    let mut parameters = page_parameters(&ORDER_KEYS);
    parameters.push(Parameter::new("query", ParameterKind::Text, "A part of the name, in any case."));
    let about = "Only rows behind this value of the order_key.";
    parameters.push(Parameter::new("after", ParameterKind::Text, about));
    let about = "Ignored: Fleet's clients send it for more or less of each row.";
    parameters.extend(LIST_WITHOUT_EFFECT.map(|name| Parameter::new(name, ParameterKind::Text, about)));
    parameters
}

/// The parameters that [`Params::dry_run`] reads.
pub(super) fn apply_parameters() -> Vec<Parameter> {
    let about = "Changes nothing: the answer says what is wrong, or what would be warned of.";
    let mut parameters = vec![Parameter::new("dry_run", ParameterKind::Switch, about)];
    let about = "Ignored: Fleet's clients send it; what is wrong is refused in any case.";
    parameters.extend(APPLY_WITHOUT_EFFECT.map(|name| Parameter::new(name, ParameterKind::Text, about)));
    parameters
}
