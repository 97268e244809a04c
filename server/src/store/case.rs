//! The one rule for capitals in names of hosts, labels, queries and packs: A to Z are the same as a to z, every other
//! character counts as it is. Databases differ in what they take for the same, so what they find is compared again here.

use std::collections::HashMap;

/// The form in which names are compared. What has a name keeps it as it was given.
pub fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether two names are the same but for capitals.
pub fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Whether a part stands in a name, whatever the capitals.
pub fn has_part(name: &str, part: &str) -> bool {
    fold(name).contains(&fold(part))
}

/// Where among names the one is that a name means: exactly it, else the first that is the same but for capitals.
pub fn position<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Option<usize> {
    let mut first = None;
    for (at, other) in names.enumerate().filter(|(_, other)| is_same(other, name)) {
        if other == name {
            return Some(at);
        }
        first = first.or(Some(at));
    }
    first
}

/// The row that a name means; see [`position`].
pub fn best<T>(mut rows: Vec<T>, name: &str, name_of: impl Fn(&T) -> &str) -> Option<T> {
    let best = position(rows.iter().map(name_of), name)?;
    Some(rows.swap_remove(best))
}

/// Things by name, whatever its capitals; of several that differ in these alone, the one with exactly the name.
#[derive(Debug)]
pub struct ByName<T>(HashMap<String, Vec<(String, T)>>);

impl<T> FromIterator<(String, T)> for ByName<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(named: I) -> Self {
        let mut by_name: HashMap<String, Vec<(String, T)>> = HashMap::new();
        for (name, thing) in named {
            by_name.entry(fold(&name)).or_default().push((name, thing));
        }
        Self(by_name)
    }
}

impl<T> ByName<T> {
    /// The thing and the name it really has.
    pub fn named(&self, name: &str) -> Option<(&str, &T)> {
        let same = self.0.get(&fold(name))?;
        let best = same.iter().find(|(exact, _)| exact == name).or(same.first())?;
        Some((best.0.as_str(), &best.1))
    }

    pub fn get(&self, name: &str) -> Option<&T> {
        self.named(name).map(|(_, thing)| thing)
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.0.contains_key(&fold(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_do_not_matter_and_an_exact_name_goes_first() {
        let names = || ["foo", "Foo", "BAR", "stra\u{df}e"].map(str::to_owned).to_vec();
        let best = |name: &str| best(names(), name, String::as_str);
        assert_eq!(best("Foo").as_deref(), Some("Foo"));
        assert_eq!(best("FOO").as_deref(), Some("foo"));
        assert_eq!(best("bar").as_deref(), Some("BAR"));
        assert_eq!(best("STRASSE"), None);
        let by_name: ByName<usize> = names().into_iter().enumerate().map(|(at, name)| (name, at)).collect();
        assert_eq!(
            (by_name.get("Foo"), by_name.get("fOO"), by_name.named("bar")),
            (Some(&1), Some(&0), Some(("BAR", &2)))
        );
        assert!(has_part("Stra\u{df}e", "TRA\u{df}") && !has_part("\u{c9}cole", "\u{e9}"));
        assert!(by_name.contains_key("Bar") && !by_name.contains_key("baz"));
    }
}
