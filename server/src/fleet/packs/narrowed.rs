//! Packs that hold queries whose own schedules Fleet narrows to labels.

use std::collections::BTreeSet;

use muster_api::spec::PackTargets;

use super::GLOBAL;
use crate::fleet::names::MAX_NAME;

/// The labels that a schedule is narrowed to: hosts in any of the first, if there are some, in all of the second and in none of the
/// third.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::fleet) struct Narrowing {
    pub any: BTreeSet<String>,
    pub all: BTreeSet<String>,
    pub excluded: BTreeSet<String>,
}

impl Narrowing {
    /// Whether it stands for all hosts.
    pub fn is_none(&self) -> bool {
        self.any.is_empty() && self.all.is_empty() && self.excluded.is_empty()
    }

    /// The name of the pack for such schedules: `Global (a, b; all of c, d; none of e)`. Without `:`, which breaks the denylist of
    /// agents.
    pub fn pack_name(&self) -> String {
        let parts = [("", &self.any), ("all of ", &self.all), ("none of ", &self.excluded)];
        let shown = |(words, labels): (&str, &BTreeSet<String>)| {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            (!labels.is_empty()).then(|| format!("{words}{}", labels.join(", ")))
        };
        let parts: Vec<String> = parts.into_iter().filter_map(shown).collect();
        format!("{GLOBAL} ({})", parts.join("; ")).replace(':', "_").chars().take(MAX_NAME).collect()
    }

    /// The targets of that pack.
    pub fn targets(&self) -> PackTargets {
        let list = |labels: &BTreeSet<String>| labels.iter().cloned().collect();
        PackTargets {
            labels: list(&self.any),
            labels_include_all: list(&self.all),
            labels_exclude_any: list(&self.excluded),
            ..PackTargets::default()
        }
    }
}

/// Whether a pack is the global schedule, or has a name as [`Narrowing::pack_name`] gives it.
pub(in crate::fleet) fn is_of_own_schedules(name: &str) -> bool {
    name.strip_prefix(GLOBAL).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_named_after_what_narrows_them() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let name = |any, all, excluded| Narrowing { any: set(any), all: set(all), excluded: set(excluded) }.pack_name();
        assert_eq!(name(&["b", "a"], &[], &[]), "Global (a, b)");
        assert_eq!(name(&[], &["b", "a"], &[]), "Global (all of a, b)");
        assert_eq!(name(&[], &[], &["a"]), "Global (none of a)");
        assert_eq!(name(&["a"], &["b"], &["c", "d"]), "Global (a; all of b; none of c, d)");
        assert_eq!(name(&["a:b"], &[], &[]), "Global (a_b)");
        let long = name(&[&"x".repeat(2 * MAX_NAME)], &[], &[]);
        assert!(long.chars().count() == MAX_NAME && is_of_own_schedules(&long), "{long}");
        assert!(is_of_own_schedules(GLOBAL) && !is_of_own_schedules("Globally"));
    }
}
