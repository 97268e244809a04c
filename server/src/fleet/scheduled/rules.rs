//! The rules for scheduled queries, for documents and REST operations alike.

use muster_api::spec::PackQuery;
use sea_orm::Set;

use crate::clock::Moment;
use crate::fleet::Problem;
use crate::fleet::names::{
    check_description, check_name, check_platform, check_scheduled_name, check_shard, check_version,
};
use crate::store::entity::scheduled_queries;

/// The intervals that agents allow, in seconds: up to a week.
const INTERVALS: std::ops::RangeInclusive<u32> = 1..=604_800;

/// Adds the problems and warnings of a scheduled query; `path` gives the path of each of its keys.
pub(in crate::fleet) fn check(
    path: impl Fn(&str) -> String,
    query: &PackQuery,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    check_name(&path("query"), &query.query, problems);
    check_scheduled_name(&path(if query.name.is_empty() { "query" } else { "name" }), query.scheduled_name(), problems);
    check_description(&path("description"), &query.description, problems);
    check_platform(&path("platform"), &query.platform, problems, warnings);
    check_version(&path("version"), &query.version, problems);
    check_shard(&path("shard"), query.shard, problems);
    if !INTERVALS.contains(&query.interval) {
        let reason = format!("expects {} to {} seconds; agents skip anything else", INTERVALS.start(), INTERVALS.end());
        problems.push(Problem::new(path("interval"), reason));
    }
}

/// The row of a scheduled query, without the columns that only a new one sets.
pub(in crate::fleet) fn row(query_id: i64, query: &PackQuery, now: Moment) -> scheduled_queries::ActiveModel {
    scheduled_queries::ActiveModel {
        query_id: Set(query_id),
        name: Set(query.scheduled_name().to_owned()),
        description: Set(query.description.clone()),
        interval_secs: Set(i64::from(query.interval)),
        snapshot: Set(query.snapshot),
        removed: Set(query.removed),
        denylist: Set(query.denylist),
        shard: Set(query.shard.map(i64::from)),
        platform: Set(query.platform.clone()),
        version: Set(query.version.clone()),
        updated_at: Set(now),
        ..Default::default()
    }
}
