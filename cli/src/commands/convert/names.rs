use std::collections::{BTreeMap, HashMap, HashSet};

use muster_api::spec::{PackSpec, QuerySpec};

use super::pack::ParsedPack;

/// The result of a conversion, sorted by name.
#[derive(Debug)]
pub struct Conversion {
    pub packs: Vec<PackSpec>,
    pub queries: Vec<QuerySpec>,
    /// Names that have different SQL in different packs.
    pub ambiguous: Vec<String>,
}

/// Merges queries with the same name and SQL. If the SQL differs, or `prefix` is set, queries are named `PACK/NAME`;
/// packs still schedule them as `NAME`.
pub fn resolve(mut packs: Vec<ParsedPack>, prefix: bool) -> Result<Conversion, Vec<String>> {
    packs.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    let ambiguous = ambiguous(&packs);
    let mut problems = Vec::new();
    for pair in packs.windows(2) {
        let [one, other] = pair else { continue };
        if one.spec.name == other.spec.name {
            let reason = "convert one of them separately and rename it with --name";
            problems.push(format!("{} and {}: both are named {:?}; {reason}", one.file, other.file, one.spec.name));
        }
    }
    let mut queries: BTreeMap<String, QuerySpec> = BTreeMap::new();
    let mut specs = Vec::new();
    for ParsedPack { file, mut spec, queries: scheduled } in packs {
        for mut query in scheduled {
            if prefix || ambiguous.contains(&query.entry.query) {
                query.entry.name = query.entry.query;
                query.entry.query = format!("{}/{}", spec.name, query.entry.name);
            }
            let name = query.entry.query.clone();
            let description = query.entry.description.clone();
            let fresh = QuerySpec { name: name.clone(), description, query: query.sql, observer_can_run: false };
            match queries.get(&name) {
                Some(known) if known.query != fresh.query => {
                    problems.push(format!(
                        "{file}: {name:?} is also the name of another query; convert the files separately"
                    ));
                }
                Some(_) => {}
                None => {
                    queries.insert(name, fresh);
                }
            }
            spec.queries.push(query.entry);
        }
        spec.queries.sort_by(|a, b| a.scheduled_name().cmp(b.scheduled_name()));
        specs.push(spec);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut ambiguous: Vec<_> = ambiguous.into_iter().collect();
    ambiguous.sort();
    Ok(Conversion { packs: specs, queries: queries.into_values().collect(), ambiguous })
}

fn ambiguous(packs: &[ParsedPack]) -> HashSet<String> {
    let mut known: HashMap<&str, &str> = HashMap::new();
    let mut ambiguous = HashSet::new();
    for query in packs.iter().flat_map(|pack| &pack.queries) {
        let name = query.entry.query.as_str();
        if *known.entry(name).or_insert(&query.sql) != query.sql {
            ambiguous.insert(name.to_owned());
        }
    }
    ambiguous
}
