//! Query strings of lists, as Fleet's clients write them.

use std::collections::BTreeMap;

use super::error::bad_parameter;
use crate::fleet::listing::{ListOrder, Listing};

/// Rows of a page when only its number is given.
const DEFAULT_PER_PAGE: u64 = 20;

/// The last row a database can count to.
const MAX_ROW: u64 = i64::MAX.unsigned_abs();

/// The parameters of a request. What an operation does not take it must refuse: see [`Params::finish`].
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    pub(super) fn of(request: &actix_web::HttpRequest) -> Result<Self, actix_web::Error> {
        let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| bad_parameter(format!("the query string cannot be read: {error}")))?;
        Ok(Self(pairs.into_inner().into_iter().collect()))
    }

    /// A parameter, unless it is absent or empty.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|text| !text.is_empty())
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, actix_web::Error> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(number) => u64::try_from(number).map(Some).map_err(|_| bad_parameter(format!("negative {name} value"))),
            Err(_) => Err(bad_parameter(format!("non-int {name} value"))),
        }
    }

    /// A switch; off when absent.
    pub(super) fn switch(&mut self, name: &str) -> Result<bool, actix_web::Error> {
        match self.text(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(bad_parameter(format!("{name} expects true or false, not {other}"))),
        }
    }

    /// Rows to leave out and rows to give; without a page, all.
    pub(super) fn page(&mut self) -> Result<(u64, Option<u64>), actix_web::Error> {
        let page = self.number("page")?;
        let per_page = self.number("per_page")?;
        if per_page == Some(0) {
            return Err(bad_parameter("invalid per_page value"));
        }
        if page.is_none() && per_page.is_none() {
            return Ok((0, None));
        }
        let rows = per_page.unwrap_or(DEFAULT_PER_PAGE);
        Ok((page.unwrap_or(0).saturating_mul(rows).min(MAX_ROW), Some(rows.min(MAX_ROW))))
    }

    /// The column to order by and whether downwards.
    pub(super) fn order(&mut self) -> Result<(Option<String>, bool), actix_web::Error> {
        let key = self.text("order_key");
        let is_descending = match self.text("order_direction").as_deref() {
            None | Some("asc") => false,
            Some(_) if key.is_none() => return Err(bad_parameter("order_key must be specified with order_direction")),
            Some("desc") => true,
            Some(other) => return Err(bad_parameter(format!("unknown order_direction: {other}"))),
        };
        Ok((key, is_descending))
    }

    /// The parameters every list has, and no others.
    pub(super) fn listing(request: &actix_web::HttpRequest) -> Result<Listing, actix_web::Error> {
        let mut params = Self::of(request)?;
        let (offset, limit) = params.page()?;
        let (order_key, is_descending) = params.order()?;
        let order = match order_key.as_deref() {
            None | Some("id") => ListOrder::Id,
            Some("name") => ListOrder::Name,
            Some("created_at") => ListOrder::CreatedAt,
            Some("updated_at") => ListOrder::UpdatedAt,
            Some(other) => {
                let known = "id, name, created_at, updated_at";
                return Err(bad_parameter(format!("unknown order_key {other}; known are {known}")));
            }
        };
        let text = params.text("query").unwrap_or_default();
        params.finish()?;
        Ok(Listing { text, order, is_descending, offset, limit })
    }

    /// Refuses what nobody has asked for, so that a misspelt filter never lists everything.
    pub(super) fn finish(self) -> Result<(), actix_web::Error> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(bad_parameter(format!("unknown parameter {name}"))),
        }
    }
}
