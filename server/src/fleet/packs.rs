//! Packs: sets of scheduled queries and the labels whose hosts run them.

use std::collections::HashSet;

use muster_api::spec::PackSpec;
use sea_orm::Set;

use super::names::{check_description, check_pack_name, check_platform, check_shard, check_sql, check_version};
use super::{Problem, Result, place, scheduled, specs};
use crate::clock::Moment;
use crate::store::entity::packs;

/// Says what is wrong or doubtful with a pack and its queries; `place` gives the path of each of its keys.
pub(super) fn check(
    place: impl Fn(&str) -> String,
    spec: &PackSpec,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    check_pack_name(&place("name"), &spec.name, problems);
    check_description(&place("description"), &spec.description, problems);
    check_platform(&place("platform"), &spec.platform, problems, warnings);
    check_version(&place("version"), &spec.version, problems);
    check_shard(&place("shard"), spec.shard, problems);
    for (position, sql) in spec.discovery.iter().enumerate() {
        check_sql(&place::item(&place("discovery"), position), sql, problems);
    }
    if !spec.targets.teams.is_empty() {
        problems.push(Problem::new(place("targets.teams"), "there are no teams; target labels instead"));
    }
    let mut names = HashSet::new();
    for (position, query) in spec.queries.iter().enumerate() {
        let place = |key: &str| place::member(&place::item(&place("queries"), position), key);
        scheduled::check(place, query, problems, warnings);
        if !names.insert(query.scheduled_name()) {
            problems.push(Problem::new(
                place(if query.name.is_empty() { "query" } else { "name" }),
                format!("{:?} is scheduled twice in this pack; give one another name", query.scheduled_name()),
            ));
        }
    }
}

/// The pack as it is stored, without what only a new one has.
pub(super) fn row(spec: &PackSpec, now: Moment) -> Result<packs::ActiveModel> {
    Ok(packs::ActiveModel {
        name: Set(spec.name.clone()),
        description: Set(spec.description.clone()),
        platform: Set(spec.platform.clone()),
        version: Set(spec.version.clone()),
        shard: Set(spec.shard.map(i64::from)),
        discovery: Set(specs::to_value(&spec.discovery)?.to_string()),
        disabled: Set(spec.disabled),
        updated_at: Set(now),
        ..Default::default()
    })
}
