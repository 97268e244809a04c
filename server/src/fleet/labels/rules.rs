//! The rules for labels, for documents and REST operations alike.

use muster_api::spec::{LabelMembership, LabelSpec, LabelType};
use sea_orm::ActiveValue::{NotSet, Set};

use crate::clock::Moment;
use crate::fleet::Problem;
use crate::fleet::names::{check_description, check_name, check_short, check_sql, meant_platform};
use crate::store::entity::labels::{self, LabelTypeWord, MembershipWord};

/// Adds the problems of a label; `path` gives the path of each of its keys.
pub(in crate::fleet) fn check(path: impl Fn(&str) -> String, spec: &LabelSpec, problems: &mut Vec<Problem>) {
    check_name(&path("name"), &spec.name, problems);
    check_description(&path("description"), &spec.description, problems);
    check_short(&path("platform"), &spec.platform, problems);
    for word in spec.platform.split(',').map(str::trim) {
        if let Some(meant) = meant_platform(word) {
            problems.push(Problem::new(path("platform"), format!("no host's platform is {word:?}; write {meant}")));
        }
    }
    match spec.label_membership_type {
        LabelMembership::Dynamic => {
            check_sql(&path("query"), &spec.query, problems);
            if spec.hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()) {
                problems.push(Problem::new(
                    path("hosts"),
                    "a dynamic label finds its hosts by its query; remove hosts, or set label_membership_type: manual",
                ));
            }
        }
        LabelMembership::Manual => {
            if !spec.query.is_empty() {
                problems.push(Problem::new(
                    path("query"),
                    "a manual label has no query; remove it, or set label_membership_type: dynamic",
                ));
            }
        }
    }
}

/// The problem of changing or deleting a label of this type, if operators may not; `None` is a type of another version.
pub(in crate::fleet) fn refusal(path: impl Into<String>, name: &str, label_type: Option<LabelType>) -> Option<Problem> {
    match label_type {
        Some(LabelType::Regular) => None,
        Some(LabelType::Builtin) => {
            Some(Problem::new(path, format!("label {name:?} is built in and cannot be changed or deleted")))
        }
        None => Some(is_of_other_version(path, name)),
    }
}

/// The problem of changing or deleting a label that another version of the server created: this version does not know its
/// type.
pub(in crate::fleet) fn is_of_other_version(path: impl Into<String>, name: &str) -> Problem {
    let reason = format!("this version does not know the type of label {name:?}; use an upgraded server to change it");
    Problem::new(path, reason)
}

/// The row of a label, without the columns that only a new one sets. `updated_at` changes only with the fields that decide
/// the members: hosts are then asked again, and a parked query gets another try.
pub(in crate::fleet) fn row(spec: &LabelSpec, old: Option<&LabelSpec>, now: Moment) -> labels::ActiveModel {
    let is_same = old.is_some_and(|old| {
        (&old.query, &old.platform, old.label_membership_type)
            == (&spec.query, &spec.platform, spec.label_membership_type)
    });
    let membership_type = match spec.label_membership_type {
        LabelMembership::Dynamic => MembershipWord::Dynamic,
        LabelMembership::Manual => MembershipWord::Manual,
    };
    let label_type = match spec.label_type {
        LabelType::Regular => LabelTypeWord::Regular,
        LabelType::Builtin => LabelTypeWord::Builtin,
    };
    labels::ActiveModel {
        name: Set(spec.name.clone()),
        description: Set(spec.description.clone()),
        query: Set(spec.query.clone()),
        platform: Set(spec.platform.clone()),
        label_type: Set(label_type),
        membership_type: Set(membership_type),
        updated_at: if is_same { NotSet } else { Set(now) },
        ..Default::default()
    }
}
