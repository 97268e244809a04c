//! Merges the layers: default < file < variable < flag.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::foreign::{self, Foreign};
use super::unused::Unused;
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
    /// What a warning would be too long with: lines that follow it.
    pub notes: Vec<String>,
}

impl Loaded {
    /// Writes the warnings to the log and gives the settings.
    pub fn into_logged(self) -> Config {
        for warning in self.warnings {
            tracing::warn!("{warning}");
        }
        for note in self.notes {
            tracing::info!("{note}");
        }
        self.config
    }
}

/// Reads and checks all layers. A variable that is empty and a key that is null are as if absent. Variables that begin with
/// `KOLIDE_`, as Fleet 3.x has them, count where no `FLEET_` variable gives the same setting.
///
/// # Errors
/// All unknown keys, invalid values and contradictions together. Keys of Fleet, and variables that others put into the
/// environment, are only warned of.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut layers = Layers {
        keys: Config::keys(),
        config: Config::default(),
        problems: Vec::new(),
        unused: Unused::default(),
        unknown_variables: Vec::new(),
    };
    if let Some(path) = &sources.file {
        layers.file(path);
    }
    layers.variables(&sources.variables);
    layers.flags(&sources.flags);
    layers.problems.extend(layers.config.contradictions());
    if layers.problems.is_empty() {
        let (warnings, notes) = layers.warnings();
        Ok(Loaded { config: layers.config, warnings, notes })
    } else {
        Err(ConfigErrors(layers.problems))
    }
}

/// What was read so far.
struct Layers {
    keys: Vec<ConfigKey>,
    config: Config,
    problems: Vec<String>,
    unused: Unused,
    unknown_variables: Vec<String>,
}

impl Layers {
    fn file(&mut self, path: &Path) {
        let mut found: Vec<_> = read_file(path, &mut self.unused, &mut self.problems).into_iter().collect();
        // Keys of today count more than former ones.
        found.sort_by_key(|(dotted, _)| foreign::meant_by_former(dotted).is_none());
        for (dotted, text) in found {
            let meant = foreign::meant_by_former(&dotted).unwrap_or(&dotted);
            let Some(key) = self.keys.iter().find(|key| key.dotted() == meant).cloned() else {
                match foreign::why_key(&dotted) {
                    Some(why) => self.unused.add(why, dotted),
                    None => {
                        let hint = suggestion(&self.keys, &dotted);
                        self.problems.push(format!("{}: unknown key {dotted}{hint}", path.display()));
                    }
                }
                continue;
            };
            let Some(text) = text else { continue };
            self.set(&key, &text, &dotted, || format!("{}: {dotted}", path.display()));
        }
    }

    fn variables(&mut self, variables: &[(String, String)]) {
        let settings = self.settings_by(|flag| format!("FLEET_{}", flag.to_ascii_uppercase()));
        let is_given = |name: &str| variables.iter().any(|(given, text)| given == name && !text.is_empty());
        let mut found: Vec<(&str, String, &str)> = Vec::new();
        for (name, text) in variables {
            if name.starts_with("FLEET_") {
                found.push((name, name.clone(), text));
            } else if let Some(rest) = name.strip_prefix("KOLIDE_") {
                let todays = format!("FLEET_{rest}");
                // Others have variables with that beginning, too.
                if settings.contains_key(&todays) && !is_given(&todays) {
                    found.push((name, todays, text));
                }
            }
        }
        found.sort();
        found.sort_by_key(|(_, todays, _)| settings.get(todays).is_none_or(|(_, is_former)| !is_former));
        for (name, todays, text) in found {
            if OTHER_VARIABLES.contains(&name) {
                continue;
            }
            if let Some((key, _)) = settings.get(&todays) {
                if !text.is_empty() {
                    self.set(key, text, name, || format!("variable {name}"));
                }
                continue;
            }
            match foreign::judge(name, text, &self.keys) {
                Foreign::Fleets(why) => self.unused.add(why, name.to_owned()),
                Foreign::Containers => {}
                Foreign::Others => self.unknown_variables.push(name.to_owned()),
                Foreign::NearMiss(key) => self.problems.push(format!(
                    "variable {name}: unknown setting (did you mean {}?); rename or unset it, or list settings with: \
                     muster config keys",
                    key.variable()
                )),
            }
        }
    }

    fn flags(&mut self, flags: &[(String, String)]) {
        let settings = self.settings_by(str::to_owned);
        let mut found: Vec<_> = flags.iter().collect();
        found.sort_by_key(|(flag, _)| settings.get(flag).is_none_or(|(_, is_former)| !is_former));
        for (flag, text) in found {
            match settings.get(flag) {
                Some((key, _)) => self.set(key, text, &format!("--{flag}"), || format!("flag --{flag}")),
                None => {
                    let why = foreign::why_flag(flag).unwrap_or("it is no setting of this server");
                    self.unused.add(why, format!("--{flag}"));
                }
            }
        }
    }

    /// The keys by the names that a layer gives them, and whether it is a former one.
    fn settings_by(&self, name: impl Fn(&str) -> String) -> BTreeMap<String, (ConfigKey, bool)> {
        let todays = self.keys.iter().map(|key| (name(&key.flag()), (key.clone(), false)));
        let former = foreign::former_keys().filter_map(|former| {
            let meant = foreign::meant_by_former(former)?;
            let key = self.keys.iter().find(|key| key.dotted() == meant)?;
            Some((name(&former.replace('.', "_")), (key.clone(), true)))
        });
        todays.chain(former).collect()
    }

    /// Sets a key from a layer that calls it `name`; problems begin with `slot`.
    fn set(&mut self, key: &ConfigKey, text: &str, name: &str, slot: impl Fn() -> String) {
        if let Err(reason) = self.config.set(key.section, key.name, text) {
            self.problems.push(format!("{}: {reason}", slot()));
        }
        if let Some(why) = key.help.strip_prefix(WITHOUT_EFFECT) {
            self.unused.add(why.trim_end_matches('.'), name.to_owned());
        }
    }

    /// Warnings, and the lines that follow them.
    fn warnings(&self) -> (Vec<String>, Vec<String>) {
        let unknown = (!self.unknown_variables.is_empty()).then(|| {
            let names = self.unknown_variables.join(", ");
            format!(
                "these variables begin with FLEET_ and are no settings of this server, so they are ignored: {names}"
            )
        });
        let (unused, notes) = self.unused.warning();
        (unused.into_iter().chain(unknown).collect(), notes)
    }
}

/// The beginning of the help of a key that is there for Fleet's files alone.
const WITHOUT_EFFECT: &str = "No effect (accepted for Fleet): ";

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
fn read_file(path: &Path, unused: &mut Unused, problems: &mut Vec<String>) -> BTreeMap<String, Option<String>> {
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
            _ => match foreign::why_alone(&section) {
                Some(why) => unused.add(why, section),
                None => problems
                    .push(format!("{}: {section}: expects a section, with its keys indented below", path.display())),
            },
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
        assert!(loaded.warnings[0].contains(": auth.jwt_key ("), "{:?}", loaded.warnings);
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
        assert!(fleets.warnings[0].contains(": prometheus.basic_auth.disable ("), "{:?}", fleets.warnings);
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
        assert!(loaded.warnings[0].contains(": debug, dev ("), "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].ends_with("; license (no licence is needed)"), "{:?}", loaded.warnings);
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
        write!(file, "auth:\n  jwt_key: x\nlicense:\n  key: y\nredis:\n  max_idle_conns: 3\n").unwrap();
        let loaded = load(&Sources {
            file: Some(file.path().to_owned()),
            variables: pairs(&[
                ("FLEET_SERVICE_HOST", "10.0.0.9"),
                ("FLEET_LICENSE_KEY", ""),
                ("FLEET_SERVER_TLS", "False"),
                ("FLEET_SERVER_WORKERS", ""),
                ("FLEET_VERSION", "4.20"),
            ]),
            flags: pairs(&[("auth_jwt_key", "z")]),
        })
        .unwrap();
        assert!(!loaded.config.server.tls);
        assert_eq!(
            loaded.warnings,
            [
                "these settings of Fleet have no effect here: --auth_jwt_key, auth.jwt_key (passwords and sessions are kept \
                 another way); FLEET_LICENSE_KEY, license.key (no licence is needed); redis.max_idle_conns (commands share \
                 four connections)",
                "these variables begin with FLEET_ and are no settings of this server, so they are ignored: FLEET_VERSION",
            ]
        );
    }

    #[test]
    fn former_names_of_settings_count_unless_todays_are_given() {
        let file = "osquery:\n  result_log_file: old\n  status_log_file: former\nfilesystem:\n  result_log_file: new\n";
        let config = of_file(file).unwrap().config;
        assert_eq!(config.filesystem.result_log_file, PathBuf::from("new"));
        assert_eq!(config.filesystem.status_log_file, PathBuf::from("former"));
        let variables = pairs(&[
            ("KOLIDE_SERVER_ADDRESS", "1.1.1.1:1"),
            ("KOLIDE_SERVER_WORKERS", "2"),
            ("FLEET_SERVER_WORKERS", "3"),
            ("KOLIDE_OSQUERY_STATUS_LOG_FILE", "former"),
            ("KOLIDE_LAUNCHER_HOSTNAME", "somebody else's"),
        ]);
        let loaded = load(&Sources { variables, ..Sources::default() }).unwrap();
        assert_eq!((loaded.config.server.address.as_str(), loaded.config.server.workers), ("1.1.1.1:1", 3));
        assert_eq!(loaded.config.filesystem.status_log_file, PathBuf::from("former"));
        assert_eq!(loaded.warnings, [""; 0]);
        let flags = pairs(&[("filesystem_status_log_file", "new"), ("osquery_status_log_file", "old")]);
        let loaded = load(&Sources { flags, ..Sources::default() }).unwrap();
        assert_eq!(loaded.config.filesystem.status_log_file, PathBuf::from("new"));
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
