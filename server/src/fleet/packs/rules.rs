//! The rules for packs, for documents and REST operations alike.

use std::collections::{HashMap, HashSet};

use muster_api::spec::PackSpec;
use sea_orm::Set;

use crate::clock::Moment;
use crate::fleet::names::{check_description, check_pack_name, check_platform, check_shard, check_sql, check_version};
use crate::fleet::{Problem, Result, path, scheduled, specs};
use crate::store::case;
use crate::store::entity::packs;

/// The name of the pack with the global schedule. Agents see the pack under this name; operators do not see it among packs.
pub(in crate::fleet) const GLOBAL: &str = "Global";

/// What is said of a label in two lists.
pub(in crate::fleet) const TWICE: &str = "a label stands in two lists of targets; keep one";

/// Adds the problems and warnings of a pack and its queries; `path` gives the path of each of its keys.
pub(in crate::fleet) fn check(
    path: impl Fn(&str) -> String,
    spec: &PackSpec,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    check_pack_name(&path("name"), &spec.name, problems);
    check_description(&path("description"), &spec.description, problems);
    check_platform(&path("platform"), &spec.platform, problems, warnings);
    check_version(&path("version"), &spec.version, problems);
    check_shard(&path("shard"), spec.shard, problems);
    for (position, sql) in spec.discovery.iter().enumerate() {
        check_sql(&path::item(&path("discovery"), position), sql, problems);
    }
    if !spec.targets.teams.is_empty() {
        warnings.push(Problem::new(path("targets.teams"), "skipped: there are no teams here; target labels instead"));
    }
    let mut labels: HashMap<String, &str> = HashMap::new();
    for (key, list) in spec.targets.lists() {
        // Two words for one list; twice in one list is once.
        let of = if key == "labels_include_any" { "labels" } else { key };
        for (position, label) in list.iter().enumerate() {
            if *labels.entry(case::fold(label)).or_insert(of) != of {
                let at = path::item(&path(&format!("targets.{key}")), position);
                problems.push(Problem::new(at, format!("{TWICE}: {label:?}")));
            }
        }
    }
    let mut names = HashSet::new();
    for (position, query) in spec.queries.iter().enumerate() {
        let path = |key: &str| path::member(&path::item(&path("queries"), position), key);
        scheduled::check(path, query, problems, warnings);
        if !names.insert(query.scheduled_name()) {
            problems.push(Problem::new(
                path(if query.name.is_empty() { "query" } else { "name" }),
                format!("{:?} is scheduled twice in this pack; give one another name", query.scheduled_name()),
            ));
        }
    }
}

/// Adds a problem if a pack has the name of the global schedule.
pub(in crate::fleet) fn check_not_global(path: String, spec: &PackSpec, problems: &mut Vec<Problem>) {
    if case::is_same(&spec.name, GLOBAL) {
        problems.push(Problem::new(path, format!("{GLOBAL:?} is the global schedule's name; choose another")));
    }
}

/// The row of a pack, without the columns that only a new one sets.
pub(in crate::fleet) fn row(spec: &PackSpec, now: Moment) -> Result<packs::ActiveModel> {
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

/// The packs as they are named in a reason.
pub(in crate::fleet) fn quoted(names: &[String]) -> String {
    let quote = |name: &String| match name.as_str() {
        GLOBAL => "the global schedule".to_owned(),
        name => format!("the pack {name:?}"),
    };
    names.iter().map(quote).collect::<Vec<_>>().join(" and ")
}
