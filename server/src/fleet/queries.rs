//! Saved queries.

use muster_api::spec::QuerySpec;
use sea_orm::Set;

use super::Problem;
use super::names::{check_description, check_name, check_sql};
use crate::clock::Moment;
use crate::store::entity::queries;

/// Says what is wrong with a query; `place` gives the path of each of its keys.
pub(super) fn check(place: impl Fn(&str) -> String, spec: &QuerySpec, problems: &mut Vec<Problem>) {
    check_name(&place("name"), &spec.name, problems);
    check_sql(&place("query"), &spec.query, problems);
    check_description(&place("description"), &spec.description, problems);
}

/// The query as it is stored, without what only a new one has.
pub(super) fn row(spec: &QuerySpec, now: Moment) -> queries::ActiveModel {
    queries::ActiveModel {
        name: Set(spec.name.clone()),
        description: Set(spec.description.clone()),
        query: Set(spec.query.clone()),
        observer_can_run: Set(spec.observer_can_run),
        updated_at: Set(now),
        ..Default::default()
    }
}
