//! Files as Fleet's GitOps has them: one for all hosts (`default.yml`) and one for each team, without `kind` and `spec`, whose
//! parts may stand in files of their own (`path: ./lib/x.yml`). They are read as the documents that mean the same.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::node::{YamlData, YamlEntry, YamlNode};
use super::problem::DocumentProblem;
use super::read::{Documents, ParsedDocument};
use super::variables;

/// Other files and variables, to which a file refers.
pub trait Surroundings {
    /// The text of another file, which must really stand in a folder or below, whatever links say.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn file(&self, path: &Path, within: &Path) -> Result<String, String>;
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
}

/// Keys of a file for all hosts.
const KEYS: [&str; 9] =
    ["agent_options", "controls", "features", "labels", "org_settings", "policies", "queries", "reports", "software"];

/// Keys that make a file one of a team.
const TEAM_KEYS: [&str; 3] = ["name", "team_settings", "settings"];

/// Parts of `org_settings` that are applied, so that variables in them must be set.
const APPLIED_SETTINGS: [&str; 3] = ["org_info", "secrets", "server_settings"];

/// Whether a document is a whole file of GitOps.
pub(super) fn is_gitops(root: &YamlNode) -> bool {
    let Some(entries) = members(root) else { return false };
    let has = |keys: &[&str]| entries.iter().any(|entry| keys.contains(&entry.key.as_str()));
    // Packs of osquery have an object with their queries.
    let is_pack = entries.iter().any(|entry| entry.key == "queries" && members(&entry.value).is_some());
    !is_pack && !has(&["kind", "spec", "apiVersion", "schedule", "packs"]) && has(&KEYS)
}

fn members(node: &YamlNode) -> Option<&Vec<YamlEntry>> {
    match &node.data {
        YamlData::Mapping(entries) => Some(entries),
        _ => None,
    }
}

fn member<'a>(node: &'a YamlNode, key: &str) -> Option<&'a YamlNode> {
    members(node)?.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

fn text(node: &YamlNode) -> Option<&str> {
    match &node.data {
        YamlData::Scalar(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Whether there is nothing in a part.
fn is_empty(node: &YamlNode) -> bool {
    match &node.data {
        YamlData::Scalar(value) => value.is_null(),
        YamlData::Sequence(items) => items.is_empty(),
        YamlData::Mapping(entries) => entries.is_empty(),
    }
}

/// A document of a kind, whose location is that of what stands for the kind.
fn document(source: usize, kind: &str, at: serde_yaml::Location, spec: YamlNode) -> ParsedDocument {
    let entry = |key: &str, value: YamlNode| YamlEntry { key: key.to_owned(), key_at: at, value };
    let kind = YamlNode { at, data: YamlData::Scalar(kind.into()) };
    let data = YamlData::Mapping(vec![entry("kind", kind), entry("spec", spec)]);
    ParsedDocument { source, root: YamlNode { at, data } }
}

/// The spec of something that is skipped: its name alone.
fn name_alone(at: serde_yaml::Location, name: Option<&str>) -> YamlNode {
    let name = name.map(|name| YamlEntry {
        key: "name".to_owned(),
        key_at: at,
        value: YamlNode { at, data: YamlData::Scalar(name.into()) },
    });
    YamlNode { at, data: YamlData::Mapping(name.into_iter().collect()) }
}

/// A path without `.` and, as far as that is possible without looking, without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// Whether a path stands in a folder or below; both are without `..` inside.
fn is_within(path: &Path, folder: &Path) -> bool {
    let below = path.strip_prefix(folder);
    below.is_ok_and(|below| below.components().all(|part| matches!(part, Component::Normal(_))))
}

/// All paths that a file refers to, wherever.
fn references(node: &YamlNode, found: &mut Vec<String>) {
    match &node.data {
        YamlData::Scalar(_) => {}
        YamlData::Sequence(items) => items.iter().for_each(|item| references(item, found)),
        YamlData::Mapping(entries) => {
            for entry in entries {
                match text(&entry.value) {
                    Some(path) if entry.key == "path" => found.push(path.to_owned()),
                    _ => references(&entry.value, found),
                }
            }
        }
    }
}

/// Findings of reading many files, besides documents.
#[derive(Debug, Default)]
pub struct Gathered {
    pub problems: Vec<DocumentProblem>,
    /// Files beside those of GitOps that none of these refers to and that are no documents.
    pub unused: Vec<String>,
}

/// Adds the documents of files, those of GitOps included.
pub(super) fn gather(
    documents: &mut Documents,
    files: Vec<(String, String)>,
    surroundings: &dyn Surroundings,
) -> Gathered {
    let mut found = Gathered::default();
    let mut plain = Vec::new();
    let mut of_gitops = Vec::new();
    let folder_of = |name: &str| normal(Path::new(name).parent().unwrap_or(Path::new("")));
    let mut folders: Vec<PathBuf> = files.iter().map(|(name, _)| folder_of(name)).collect();
    folders.sort();
    folders.dedup();
    for (name, text) in files {
        match documents.parse(&name, text) {
            Ok((source, roots)) if roots.iter().any(is_gitops) => of_gitops.push((name, source, roots)),
            Ok((source, roots)) => plain.push((name, source, roots)),
            Err(problems) => found.problems.extend(problems),
        }
    }
    let mut used = HashSet::new();
    let mut added = Vec::new();
    for (name, source, roots) in of_gitops {
        let folder = folder_of(&name);
        let mut paths = Vec::new();
        roots.iter().for_each(|root| references(root, &mut paths));
        used.extend(paths.iter().map(|path| normal(&folder.join(path))));
        let (added_here, problems) = (Vec::new(), Vec::new());
        let mut file =
            GitopsFile { documents, surroundings, folders: &folders, folder, source, added: added_here, problems };
        for root in roots.into_iter().filter(|root| !root.is_null()) {
            file.root(root);
        }
        added.append(&mut file.added);
        found.problems.append(&mut file.problems);
    }
    let is_gitops = !used.is_empty() || !added.is_empty();
    for (name, source, roots) in plain {
        if used.contains(&normal(Path::new(&name))) {
            continue;
        }
        let is_document = |root: &YamlNode| member(root, "kind").is_some() || root.is_null();
        if is_gitops && !roots.iter().all(is_document) {
            found.unused.push(name);
            continue;
        }
        found.problems.extend(documents.refused(source, &roots));
        added.extend(roots.into_iter().filter(|root| !root.is_null()).map(|root| ParsedDocument { source, root }));
    }
    documents.append(added);
    found
}

/// A file of GitOps that is being read.
struct GitopsFile<'a> {
    documents: &'a mut Documents,
    surroundings: &'a dyn Surroundings,
    /// Those of all files that are given: what files refer to must stand in one of them or below.
    folders: &'a [PathBuf],
    folder: PathBuf,
    source: usize,
    added: Vec<ParsedDocument>,
    problems: Vec<DocumentProblem>,
}

impl GitopsFile<'_> {
    fn root(&mut self, root: YamlNode) {
        let YamlData::Mapping(entries) = root.data else {
            self.problem(root.at, "expects an object, as in Fleet's default.yml");
            return;
        };
        if entries.iter().any(|entry| TEAM_KEYS.contains(&entry.key.as_str())) {
            let name = entries.iter().find(|entry| entry.key == "name");
            let at = name.map_or(root.at, |name| name.key_at);
            let spec = name_alone(at, name.and_then(|name| text(&name.value)));
            self.added.push(document(self.source, "team", at, spec));
            return;
        }
        let mut settings = Vec::new();
        let mut settings_at = (self.source, root.at);
        for entry in entries {
            let at = entry.key_at;
            match entry.key.as_str() {
                _ if is_empty(&entry.value) && KEYS.contains(&entry.key.as_str()) => {}
                "queries" | "reports" => self.list("query", entry.value),
                "labels" => self.list("label", entry.value),
                "agent_options" => {
                    if let Some((source, mut options)) = self.referred(entry.value) {
                        self.expand(source, &mut options);
                        self.added.push(document(source, "options", at_of(source, self.source, at, &options), options));
                    }
                }
                "org_settings" => {
                    if let Some((source, mut parts)) = self.referred(entry.value) {
                        self.expand_settings(source, &mut parts);
                        settings_at = (source, at_of(source, self.source, at, &parts));
                        if let YamlData::Mapping(entries) = parts.data {
                            settings.extend(entries);
                        } else {
                            self.problem(at, "expects an object");
                        }
                    }
                }
                "features" => settings.push(entry),
                "policies" => self.policies(at, &entry.value),
                skipped @ ("controls" | "software") => {
                    self.added.push(document(self.source, skipped, at, name_alone(at, None)));
                }
                key => {
                    let known = KEYS.join(", ");
                    self.problem(
                        at,
                        format!("{key}: unknown key; a file of Fleet's GitOps has {known}, or name for a team"),
                    );
                }
            }
        }
        self.settings(settings, settings_at);
    }

    /// The secrets, and the rest of the configuration.
    fn settings(&mut self, mut settings: Vec<YamlEntry>, (source, at): (usize, serde_yaml::Location)) {
        let secrets = settings.iter().position(|entry| entry.key == "secrets").map(|at| settings.swap_remove(at));
        if let Some(secrets) = secrets.filter(|secrets| !is_empty(&secrets.value)) {
            let at = secrets.key_at;
            let spec = YamlNode { at, data: YamlData::Mapping(vec![secrets]) };
            self.added.push(document(source, "enroll_secret", at, spec));
        }
        if !settings.is_empty() {
            let spec = YamlNode { at, data: YamlData::Mapping(settings) };
            self.added.push(document(source, "config", at, spec));
        }
    }

    /// Documents of a kind, some of which may stand in other files.
    fn list(&mut self, kind: &str, list: YamlNode) {
        let YamlData::Sequence(items) = list.data else {
            self.problem(list.at, "expects a list");
            return;
        };
        for item in items {
            let Some((source, mut found)) = self.referred(item) else { continue };
            self.expand(source, &mut found);
            let specs = match found.data {
                YamlData::Sequence(specs) => specs,
                data => vec![YamlNode { data, ..found }],
            };
            for spec in specs {
                // Older repositories have whole documents there.
                if member(&spec, "kind").is_some() {
                    self.added.push(ParsedDocument { source, root: spec });
                } else {
                    self.added.push(document(source, kind, spec.at, spec));
                }
            }
        }
    }

    fn policies(&mut self, at: serde_yaml::Location, list: &YamlNode) {
        let YamlData::Sequence(items) = &list.data else {
            self.problem(at, "expects a list");
            return;
        };
        for item in items {
            let name = ["name", "path"].into_iter().find_map(|key| text(member(item, key)?));
            self.added.push(document(self.source, "policy", at, name_alone(at, name)));
        }
    }

    /// A part, or what the file holds that it refers to, with the source that it stands in.
    fn referred(&mut self, part: YamlNode) -> Option<(usize, YamlNode)> {
        let Some(path) = member(&part, "path") else {
            if let Some(paths) = member(&part, "paths") {
                let at = paths.at;
                self.problem(
                    at,
                    "files are not looked for by a pattern; write `- path: FILE` for each, in place of paths",
                );
                return None;
            }
            return Some((self.source, part));
        };
        let at = path.at;
        let Some(path) = text(path) else {
            self.problem(at, "expects the path of a file");
            return None;
        };
        let path = normal(&self.folder.join(path));
        let shown = path.display().to_string();
        let Some(within) = self.folders.iter().find(|folder| is_within(&path, folder)) else {
            let reason = format!(
                "{shown} is outside of the folder with the files; move it there, or give the folder that has both: fleetctl apply -f \
                 FOLDER"
            );
            self.problem(at, reason);
            return None;
        };
        let read = match self.surroundings.file(&path, within) {
            Ok(read) => read,
            Err(reason) => {
                self.problem(at, format!("cannot read {shown}: {reason}"));
                return None;
            }
        };
        match self.documents.parse(&shown, read) {
            Ok((source, mut roots)) => {
                roots.retain(|root| !root.is_null());
                match roots.len() {
                    // Several documents are like a list of them.
                    2.. => {
                        let at = roots[0].at;
                        Some((source, YamlNode { at, data: YamlData::Sequence(roots) }))
                    }
                    _ => roots.pop().map(|root| (source, root)),
                }
            }
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    fn expand_settings(&mut self, source: usize, settings: &mut YamlNode) {
        let YamlData::Mapping(entries) = &mut settings.data else { return };
        for entry in entries.iter_mut().filter(|entry| APPLIED_SETTINGS.contains(&entry.key.as_str())) {
            self.expand(source, &mut entry.value);
        }
    }

    /// Puts environment variables into texts.
    fn expand(&mut self, source: usize, node: &mut YamlNode) {
        let Some(text) = self.documents.source(source) else { return };
        variables::expand(node, text, &|name| self.surroundings.variable(name), &mut self.problems);
    }

    fn problem(&mut self, at: serde_yaml::Location, reason: impl Into<String>) {
        if let Some(source) = self.documents.source(self.source) {
            self.problems.push(DocumentProblem::at(source, at, reason));
        }
    }
}

/// Where a part begins: at its key, or in the file that it stands in.
fn at_of(source: usize, own: usize, key_at: serde_yaml::Location, part: &YamlNode) -> serde_yaml::Location {
    if source == own { key_at } else { part.at }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    /// Files and variables that are there.
    struct Shelf(BTreeMap<&'static str, &'static str>);

    impl Surroundings for Shelf {
        fn file(&self, path: &Path, _: &Path) -> Result<String, String> {
            let found = self.0.get(path.to_str().unwrap_or_default());
            found.map(|text| (*text).to_owned()).ok_or_else(|| "not there".to_owned())
        }

        fn variable(&self, name: &str) -> Option<String> {
            self.0.get(name).map(|value| (*value).to_owned())
        }
    }

    /// The documents that files give, the problems by file, line and column, and the files that are not used.
    fn read(given: &[&'static str], shelf: &[(&'static str, &'static str)]) -> (Vec<Value>, Vec<String>, Vec<String>) {
        let shelf = Shelf(shelf.iter().copied().collect());
        let files = given.iter().map(|name| ((*name).to_owned(), shelf.0[name].to_owned())).collect();
        let mut documents = Documents::default();
        let Gathered { problems, unused } = documents.add_all(files, &shelf);
        let first_line = |problem: &DocumentProblem| problem.to_string().lines().next().unwrap_or_default().to_owned();
        (documents.to_json(), problems.iter().map(first_line).collect(), unused)
    }

    #[test]
    fn a_file_is_read_as_the_documents_that_mean_the_same() {
        let (documents, problems, unused) = read(
            &["r/default.yml", "r/teams/t.yml", "r/lib/q.yml", "r/lib/other.yml"],
            &[
                (
                    "r/default.yml",
                    "queries:\n- path: ./lib/../lib/q.yml\n- {name: own, query: 'SELECT $A', interval: $N}\nlabels:\n\
                     policies:\n- name: p\ncontrols: {scripts: [{path: lib/x.sh}]}\nagent_options: {config: {}}\n\
                     org_settings:\n  secrets: [{secret: '${A}'}]\n  org_info: {org_name: X}\n  mdm: {token: $NONE}\n",
                ),
                ("r/teams/t.yml", "name: Servers\nqueries:\n- path: ../lib/none.yml\n"),
                ("r/lib/q.yml", "- {name: one, query: x}\n- {name: two, query: y}\n"),
                ("r/lib/other.yml", "- name: nobody's\n"),
                ("A", "value"),
                ("N", "60"),
            ],
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(unused, ["r/lib/other.yml"]);
        assert_eq!(
            documents,
            [
                json!({ "kind": "query", "spec": { "name": "one", "query": "x" } }),
                json!({ "kind": "query", "spec": { "name": "two", "query": "y" } }),
                json!({ "kind": "query", "spec": { "name": "own", "query": "SELECT value", "interval": 60 } }),
                json!({ "kind": "policy", "spec": { "name": "p" } }),
                json!({ "kind": "controls", "spec": {} }),
                json!({ "kind": "options", "spec": { "config": {} } }),
                json!({ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": "value" }] } }),
                json!({ "kind": "config", "spec": { "org_info": { "org_name": "X" }, "mdm": { "token": "$NONE" } } }),
                json!({ "kind": "team", "spec": { "name": "Servers" } }),
            ]
        );
    }

    #[test]
    fn mistakes_have_their_place_in_the_file_that_they_stand_in() {
        let (_, problems, _) = read(
            &["d.yml"],
            &[
                (
                    "d.yml",
                    "queries:\n- path: none.yml\n- paths: '*.yml'\n- path: 7\nlabels: {}\npolicies: x\nsofware: [a]\n\
                     agent_options:\n  path: o.yml\n",
                ),
                ("o.yml", "config:\n  options: {a: $NONE}\n"),
            ],
        );
        let problems: Vec<&str> =
            problems.iter().map(|problem| problem.split(": ").next().unwrap_or_default()).collect();
        assert_eq!(problems, ["d.yml:2:9", "d.yml:3:10", "d.yml:4:9", "d.yml:6:1", "d.yml:7:1", "o.yml:2:16"]);
    }

    #[test]
    fn files_outside_of_the_folders_are_not_read() {
        let shelf = [
            ("r/all/d.yml", "queries:\n- path: ../lib/q.yml\n- path: /etc/q.yml\n- path: ../../q.yml\n"),
            ("r/lib/q.yml", "[]"),
            ("r/lib/other.yml", "[]"),
            ("/etc/q.yml", "[]"),
            ("q.yml", "[]"),
            ("d.yml", "labels:\n- path: lib/../../q.yml\n- path: ./q.yml\n"),
            ("../q.yml", "[]"),
        ];
        let positions = |given: &[&'static str]| -> Vec<String> {
            let (_, problems, _) = read(given, &shelf);
            assert!(problems.iter().all(|problem| problem.contains("is outside of the folder")), "{problems:?}");
            problems.iter().map(|problem| problem.split(": ").next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(positions(&["r/all/d.yml"]), ["r/all/d.yml:2:9", "r/all/d.yml:3:9", "r/all/d.yml:4:9"]);
        assert_eq!(positions(&["r/all/d.yml", "r/lib/other.yml"]), ["r/all/d.yml:3:9", "r/all/d.yml:4:9"]);
        assert_eq!(positions(&["d.yml"]), ["d.yml:2:9"]);
    }

    #[test]
    fn packs_of_osquery_and_documents_are_none() {
        let (documents, problems, _) = read(
            &["a.yml", "b.yml"],
            &[
                ("a.yml", "queries:\n  a: {query: x, interval: 5}\n"),
                ("b.yml", "kind: config\nspec: {agent_options: {}}\n---\nkind: label\nspec: {name: $A}\n"),
            ],
        );
        assert_eq!(documents.len(), 3, "{documents:?}");
        assert_eq!(documents[2]["spec"]["name"], "$A", "variables belong to GitOps");
        assert!(problems.len() == 1 && problems[0].contains("fleetctl convert"), "{problems:?}");
    }
}
