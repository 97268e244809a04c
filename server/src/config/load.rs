//! Merges the layers: default < file < variable < flag.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::foreign::{self, Foreign};
use super::{Config, ConfigKey};

/// Sources of settings; tests pass them without changing the process.
#[derive(Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Environment variables; only those that start with `FLEET_` are read.
    pub variables: Vec<(String, String)>,
    /// Flags by `section_key`.
    pub flags: Vec<(String, String)>,
}

/// All problems of the settings, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not valid:")?;
        for problem in &self.0 {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Variables other than settings that the program reads.
const OTHER_VARIABLES: [&str; 3] = ["FLEET_CONFIG", "FLEET_IMPORT_FROM", "FLEET_IMPORT_PASSWORD"];

/// All settings, and what is to be said of them.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// What is somebody else's and is ignored.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Writes the warnings to the log and gives the settings.
    pub fn into_logged(self) -> Config {
        for warning in self.warnings {
            tracing::warn!("{warning}");
        }
        self.config
    }
}

/// Reads and checks all layers. A variable that is empty and a key that is null are as if absent.
///
/// # Errors
/// All unknown keys, invalid values and contradictions together. Keys of Fleet, and variables that others put into the
/// environment, are only warned of.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let keys = Config::keys();
    let mut config = Config::default();
    let mut problems = Vec::new();
    let mut ignored = Ignored::default();

    if let Some(path) = &sources.file {
        for (dotted, text) in read_file(path, &mut ignored, &mut problems) {
            let Some(key) = keys.iter().find(|key| key.dotted() == dotted) else {
                if foreign::is_key(&dotted) {
                    ignored.keys.push(dotted);
                } else {
                    problems.push(format!("{}: unknown key {dotted}{}", path.display(), suggestion(&keys, &dotted)));
                }
                continue;
            };
            let Some(text) = text else { continue };
            if let Err(reason) = config.set(key.section, key.name, &text) {
                problems.push(format!("{}: {dotted}: {reason}", path.display()));
            }
        }
    }
    let mut variables: Vec<_> = sources.variables.iter().filter(|(name, _)| name.starts_with("FLEET_")).collect();
    variables.sort();
    for (name, text) in variables {
        if OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let Some(key) = keys.iter().find(|key| key.variable() == *name) else {
            match foreign::judge(name, text, &keys) {
                Foreign::Others => ignored.variables.push(name.clone()),
                Foreign::NearMiss(key) => problems.push(format!(
                    "variable {name}: unknown setting (did you mean {}?); rename or unset it, or list settings with: \
                     muster config keys",
                    key.variable()
                )),
            }
            continue;
        };
        if text.is_empty() {
            continue;
        }
        if let Err(reason) = config.set(key.section, key.name, text) {
            problems.push(format!("variable {name}: {reason}"));
        }
    }
    for (flag, text) in &sources.flags {
        let Some(key) = keys.iter().find(|key| key.flag() == *flag) else {
            ignored.flags.push(format!("--{flag}"));
            continue;
        };
        if let Err(reason) = config.set(key.section, key.name, text) {
            problems.push(format!("flag --{flag}: {reason}"));
        }
    }
    problems.extend(config.contradictions());
    if problems.is_empty() { Ok(Loaded { config, warnings: ignored.warnings() }) } else { Err(ConfigErrors(problems)) }
}

/// Settings that are somebody else's.
#[derive(Debug, Default)]
struct Ignored {
    keys: Vec<String>,
    variables: Vec<String>,
    flags: Vec<String>,
}

impl Ignored {
    /// One warning for each layer.
    fn warnings(self) -> Vec<String> {
        let layers = [("keys of Fleet", self.keys), ("variables", self.variables), ("flags of Fleet", self.flags)];
        let named = layers.into_iter().filter(|(_, names)| !names.is_empty());
        named
            .map(|(what, names)| {
                format!("these {what} are no settings of this server and are ignored: {}", names.join(", "))
            })
            .collect()
    }
}

/// Every key with its default and help, as Markdown table rows for the documentation.
pub fn describe() -> String {
    let mut text = String::from("| key | default | meaning |\n|---|---|---|\n");
    for key in Config::keys() {
        let default = if key.default.is_empty() { "–".to_owned() } else { format!("`{}`", key.default) };
        let _ = writeln!(text, "| `{}` | {default} | {} |", key.dotted(), key.help);
    }
    text
}

/// `section.key` with its value as text, for every scalar of the file; without one if it is null.
fn read_file(path: &Path, ignored: &mut Ignored, problems: &mut Vec<String>) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(format!("{}: cannot be read: {error}", path.display()));
            return found;
        }
    };
    let sections: Option<BTreeMap<String, Json>> = match serde_yaml::from_str(&text) {
        Ok(sections) => sections,
        Err(error) => {
            problems.push(format!("{}: {error}", path.display()));
            return found;
        }
    };
    for (section, values) in sections.into_iter().flatten() {
        match values {
            Json::Object(values) => {
                for (name, value) in values {
                    read_value(format!("{section}.{name}"), value, &mut found);
                }
            }
            Json::Null => {}
            _ if foreign::is_section(&section) => ignored.keys.push(section),
            _ => {
                problems.push(format!("{}: {section}: expects a section, with its keys indented below", path.display()))
            }
        }
    }
    found
}

/// The value of a key, or the keys of a section inside a section, such as `prometheus.basic_auth`.
fn read_value(dotted: String, value: Json, found: &mut BTreeMap<String, Option<String>>) {
    let is_section = Config::keys().iter().any(|key| key.section == dotted);
    match value {
        Json::Object(values) if is_section => {
            found.extend(values.into_iter().map(|(name, value)| (format!("{dotted}.{name}"), as_text(value))));
        }
        Json::Null if is_section => {}
        value => {
            found.insert(dotted, as_text(value));
        }
    }
}

fn as_text(value: Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text),
        Json::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            Some(texts.collect::<Vec<_>>().join(","))
        }
        other => Some(other.to_string()),
    }
}

/// The closest key, if at most three letters differ.
fn suggestion(keys: &[ConfigKey], dotted: &str) -> String {
    keys.iter()
        .map(|key| (strsim::levenshtein(&key.dotted(), dotted), key))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, key)| format!(" (did you mean {}?)", key.dotted()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
        items.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn later_layers_win() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "server:\n  address: 1.1.1.1:1\n  workers: 3\nsqlite:\n  path: from-file.db\n").unwrap();
        let config = load(&Sources {
            file: Some(file.path().to_owned()),
            variables: pairs(&[
                ("FLEET_SERVER_ADDRESS", "2.2.2.2:2"),
                ("FLEET_SQLITE_PATH", "from-env.db"),
                ("HOME", "/"),
            ]),
            flags: pairs(&[("server_address", "3.3.3.3:3")]),
        })
        .unwrap()
        .config;
        assert_eq!(config.server.address, "3.3.3.3:3");
        assert_eq!(config.sqlite.path, PathBuf::from("from-env.db"));
        assert_eq!(config.server.workers, 3);
    }

    /// What a file with this text gives.
    fn of_file(text: &str) -> Result<Loaded, ConfigErrors> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        load(&Sources { file: Some(file.path().to_owned()), ..Sources::default() })
    }

    #[test]
    fn null_in_the_file_is_as_if_absent() {
        let default = Config::default();
        let file = "server:\n  tls:\n  address:\n  workers: ~\nsqlite:\n  path:\nredis:\nauth:\n  jwt_key:\n";
        let loaded = of_file(file).unwrap();
        assert_eq!(loaded.config.server.tls, default.server.tls);
        assert_eq!(loaded.config.server.address, default.server.address);
        assert_eq!(loaded.config.sqlite.path, default.sqlite.path);
        assert!(loaded.warnings[0].ends_with(": auth.jwt_key"), "{:?}", loaded.warnings);
        assert_eq!(of_file("server:\n  url_prefix: ''\n").unwrap().config.server.url_prefix, "");
        assert!(of_file("server:\n  adress:\n").is_err(), "a misspelt key is one all the same");
    }

    #[test]
    fn a_section_may_be_inside_a_section() {
        let loaded =
            of_file("prometheus:\n  basic_auth:\n    username: scraper\n    password: not-a-secret\n").unwrap();
        let access = loaded.config.prometheus_basic_auth;
        assert_eq!((access.username.as_str(), access.password.reveal()), ("scraper", "not-a-secret"));
        assert_eq!(loaded.warnings, Vec::<String>::new());
        assert!(of_file("prometheus:\n  basic_auth:\n").unwrap().config.prometheus_basic_auth.username.is_empty());
        let fleets = of_file("prometheus:\n  basic_auth:\n    disable: true\n").unwrap();
        assert!(fleets.warnings[0].ends_with(": prometheus.basic_auth.disable"), "{:?}", fleets.warnings);
        for (bad, reason) in [
            ("prometheus:\n  basic_auth:\n    user: scraper\n", "unknown key prometheus.basic_auth.user"),
            ("prometheus:\n  basic_auth: not-a-secret\n", "unknown key prometheus.basic_auth"),
            ("prometheus: not-a-secret\n", "expects a section"),
            ("prometheus:\n  basic_auth:\n    username: scraper\n", "set both or neither"),
            ("prometheus:\n  basic_auth:\n    password: not-a-secret\n", "set both or neither"),
            ("prometheus:\n  basic_auth:\n    password_path: file\n", "set both or neither"),
            (
                "prometheus:\n  basic_auth: {username: scraper, password: not-a-secret, password_path: file}\n",
                "set one of them, not both",
            ),
            (
                "prometheus:\n  basic_auth:\n    username: 'a:b'\n    password: not-a-secret\n",
                "must not contain a colon",
            ),
        ] {
            let errors = of_file(bad).unwrap_err();
            assert!(errors.0[0].contains(reason), "{bad}: {errors}");
            assert!(!format!("{errors} {errors:?}").contains("not-a-secret"), "{bad}: {errors}");
        }
        let set = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let loaded = load(&Sources {
            variables: vec![set("FLEET_PROMETHEUS_BASIC_AUTH_USERNAME", "scraper")],
            flags: vec![set("prometheus_basic_auth_password", "not-a-secret")],
            ..Sources::default()
        })
        .unwrap();
        assert_eq!(loaded.config.prometheus_basic_auth.username, "scraper");
        assert!(!format!("{:?}", loaded.config).contains("not-a-secret"));
    }

    #[test]
    fn a_section_that_is_none_is_refused_unless_it_is_fleets() {
        let loaded = of_file("dev: true\ndebug: false\nlicense: x\n").unwrap();
        assert!(loaded.warnings[0].ends_with(": debug, dev, license"), "{:?}", loaded.warnings);
        for bad in ["server: true\n", "servr: x\n", "server: [address]\n"] {
            let ConfigErrors(problems) = of_file(bad).unwrap_err();
            assert!(problems[0].contains("expects a section"), "{bad}: {problems:?}");
        }
    }

    #[test]
    fn all_problems_come_together() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "server:\n  adress: x\n").unwrap();
        let ConfigErrors(problems) = load(&Sources {
            file: Some(file.path().to_owned()),
            variables: pairs(&[("FLEET_SERVER_WORKERS", "many"), ("FLEET_SERVER_WORKRES", "1")]),
            flags: pairs(&[("server_cert", "only-one.pem")]),
        })
        .unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems[0].contains("did you mean server.address?"), "{problems:#?}");
    }

    #[test]
    fn what_is_somebody_else_s_is_warned_of_once() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "auth:\n  jwt_key: x\nlicense:\n  key: y\nserver:\n  keepalive: true\n").unwrap();
        let loaded = load(&Sources {
            file: Some(file.path().to_owned()),
            variables: pairs(&[
                ("FLEET_SERVICE_HOST", "10.0.0.9"),
                ("FLEET_LICENSE_KEY", ""),
                ("FLEET_SERVER_TLS", "False"),
                ("FLEET_SERVER_WORKERS", ""),
            ]),
            flags: pairs(&[("auth_jwt_key", "z")]),
        })
        .unwrap();
        assert!(!loaded.config.server.tls);
        assert_eq!(
            loaded.warnings,
            [
                "these keys of Fleet are no settings of this server and are ignored: auth.jwt_key, license.key, server.keepalive",
                "these variables are no settings of this server and are ignored: FLEET_LICENSE_KEY, FLEET_SERVICE_HOST",
                "these flags of Fleet are no settings of this server and are ignored: --auth_jwt_key",
            ]
        );
    }

    #[test]
    fn the_documentation_lists_every_setting() {
        let page = include_str!("../../../docs/settings.md");
        assert!(page.contains(&describe()), "docs/settings.md is not up to date; run `make docs`");
    }

    #[test]
    fn defaults_read_back() {
        let mut config = Config::default();
        for key in Config::keys() {
            config
                .set(key.section, key.name, &key.default)
                .unwrap_or_else(|reason| panic!("{}: {reason}", key.dotted()));
        }
    }
}
