use muster_api::rest::Action;
use muster_api::spec::{DocumentKind, SpecDocument};
use serde_json::{Value, json};

use super::{ApplyRun, Located, to_value};
use crate::fleet::findings::Findings;
use crate::fleet::hosts::HOST_EXPIRY;
use crate::fleet::schedule::{
    KEEP_DAYS, RemovedFlag, check_agent_options, check_endpoints, default_of, is_too_deep, load_retired,
    normal_agent_options,
};
use crate::fleet::{Problem, Result, path, specs};
use crate::store::{hosts, settings};

/// The parts of the configuration with the keys of each; agent options have their own check.
const PARTS: [(&str, &[&str]); 2] = [("org_info", &["org_name", "org_logo_url"]), ("server_settings", &["server_url"])];

/// Longest text of a setting, in bytes.
const MAX_TEXT: usize = 4096;

impl ApplyRun<'_> {
    pub(super) async fn config(&mut self, documents: &[Located]) -> Result<()> {
        for document in documents {
            let root = document.root();
            let (change, options_path) = match &document.spec {
                SpecDocument::Config(config) => (self.read_config(&root, config), document.path("agent_options")),
                SpecDocument::Options(options) => {
                    let options = self.read_options(DocumentKind::Options, &root, options);
                    (json!({ "agent_options": options }), root)
                }
                _ => continue,
            };
            let stored = settings::get(self.tx, settings::APP_CONFIG).await?.unwrap_or_else(|| json!({}));
            let mut kept = stored.clone();
            merge(&mut kept, change.clone());
            self.check_expiry(&document.root(), &change, &kept).await?;
            let old = specs::shown_config(&stored, self.built_in);
            let new = specs::shown_config(&kept, self.built_in);
            if let SpecDocument::Config(_) = &document.spec {
                self.warn_of_texts(&document.root(), &old, &new);
            }
            let action = self.note(document, (0, ""), Some(&old), &new)?;
            if action != Action::Unchanged && self.problems.is_empty() {
                settings::set(self.tx, settings::APP_CONFIG, &kept, self.now).await?;
                self.retire(&options_path, &stored, &kept).await?;
            }
        }
        Ok(())
    }

    /// The configuration without what is skipped, checked.
    fn read_config(&mut self, at: &str, config: &Value) -> Value {
        let Value::Object(mut parts) = config.clone() else {
            self.problem(at, "expects an object");
            return json!({});
        };
        self.skipped.take_from(DocumentKind::Config, "", at, &mut parts);
        for (key, value) in &mut parts {
            let here = path::member(at, key);
            if key == "agent_options" {
                *value = self.read_options(DocumentKind::Config, &here, value);
            } else if key == HOST_EXPIRY {
                self.read_expiry(&here, value);
            } else if let Some((_, keys)) = PARTS.iter().find(|(part, _)| part == key) {
                self.read_texts(key, &here, value, keys);
            } else {
                let known: Vec<&str> =
                    PARTS.iter().map(|(part, _)| *part).chain([HOST_EXPIRY, "agent_options"]).collect();
                self.found().unknown_key(at, key, "known are", &known);
            }
        }
        Value::Object(parts)
    }

    fn read_texts(&mut self, part: &str, at: &str, value: &mut Value, keys: &[&str]) {
        let Some(members) = value.as_object_mut() else {
            self.problem(at, "expects an object");
            return;
        };
        // Fleet 3.x calls it so.
        if let Some(url) = members.remove("kolide_server_url") {
            members.entry("server_url").or_insert(url);
        }
        self.skipped.take_from(DocumentKind::Config, part, at, members);
        for (key, value) in members {
            if !keys.contains(&key.as_str()) {
                self.found().unknown_key(at, key, "known are", keys);
            } else if value.as_str().is_none_or(|text| text.len() > MAX_TEXT) {
                self.problem(path::member(at, key), format!("expects a string of at most {MAX_TEXT} bytes"));
            }
        }
    }

    /// Warns of texts that become what nobody can mean, or that files of another server bring along.
    fn warn_of_texts(&mut self, root: &str, old: &Value, new: &Value) {
        for (part, key) in [("org_info", "org_name"), ("server_settings", "server_url")] {
            let text = new[part][key].as_str().unwrap_or_default();
            let before = old[part][key].as_str().unwrap_or_default();
            let reason = match key {
                _ if before == text => continue,
                "org_name" if text.trim().is_empty() => "empty, so the organization has no name any more".to_owned(),
                "server_url" if !is_url(text) => {
                    "not the URL of a server; write it as agents reach it, such as https://muster.example.com:8080"
                        .to_owned()
                }
                "server_url" if !before.is_empty() => format!(
                    "the page Add hosts writes this address into flagfiles from now on, instead of {before}; is it that of this \
                     server? Agents that are enrolled keep theirs"
                ),
                _ => continue,
            };
            self.warn(path::member(&path::member(root, part), key), reason);
        }
    }

    /// Agent options as they are kept, checked. Some of Fleet's documents wrap them in a `spec` of their own.
    fn read_options(&mut self, kind: DocumentKind, at: &str, options: &Value) -> Value {
        let (at, options) = match options.get("spec").filter(|inner| !inner.is_null()) {
            Some(inner) => {
                self.refuse_beside_spec(at, options);
                (path::member(at, "spec"), inner)
            }
            None => (at.to_owned(), options),
        };
        let mut options = normal_agent_options(options.clone());
        if let Some(parts) = options.as_object_mut() {
            let part = if kind == DocumentKind::Config { "agent_options" } else { "" };
            self.skipped.take_from(kind, part, &at, parts);
        }
        let found = self.problems.len();
        check_agent_options(&at, &options, &mut self.problems, &mut self.warnings);
        if self.is_forced {
            self.forgive(&at, &options, found);
        }
        check_endpoints(&at, &options, &self.built_in.url_prefix, &mut self.warnings);
        options
    }

    /// Makes warnings of the problems from the position `found` on, but for those that would leave agents without a config.
    fn forgive(&mut self, at: &str, options: &Value, found: usize) {
        let overrides = path::member(at, "overrides");
        let platforms = path::member(&overrides, "platforms");
        let of_platforms = options["overrides"]["platforms"].as_object().into_iter().flatten();
        let documents: Vec<(String, &Value)> = of_platforms
            .map(|(platform, document)| (path::member(&platforms, platform), document))
            .chain([(path::member(at, "config"), &options["config"])])
            .collect();
        let is_grave = |problem: &Problem| {
            [at, &overrides, &platforms].contains(&problem.path.as_str())
                || documents.iter().any(|(at, document)| {
                    problem.path == *at || (is_too_deep(document) && problem.path.starts_with(at.as_str()))
                })
        };
        for problem in self.problems.split_off(found) {
            if is_grave(&problem) {
                self.problems.push(problem);
            } else {
                self.warnings.push(Problem { reason: format!("forced, although: {}", problem.reason), ..problem });
            }
        }
    }

    /// Refuses what stands beside the `spec` that wraps agent options, because nobody would read it.
    fn refuse_beside_spec(&mut self, at: &str, options: &Value) {
        let beside =
            options.as_object().into_iter().flatten().filter(|(key, value)| *key != "spec" && !value.is_null());
        for (key, _) in beside {
            self.problem(
                path::member(at, key),
                "stands beside a spec; put it inside, or remove the spec around the others",
            );
        }
    }

    pub(super) fn found(&mut self) -> Findings<'_> {
        Findings { problems: &mut self.problems, warnings: &mut self.warnings }
    }

    /// Records removed options, because hosts still have their values, and says what becomes of each.
    pub(super) async fn retire(&mut self, at: &str, stored: &Value, kept: &Value) -> Result<()> {
        let (old, new) = (self.built_in.chosen(stored), self.built_in.in_force(kept));
        if old.is_none() && new != self.built_in.options {
            self.warn_of_left_out(at, &new);
        }
        // Without hosts no agent has a value to unset, and what nobody has chosen is no choice to undo.
        let old = old.cloned().unwrap_or_default();
        if old == new || !hosts::is_any(self.tx).await? {
            return Ok(());
        }
        let (before, _) = load_retired(self.tx).await?.at(self.now);
        let (retired, removed) = before.after(&old, &new, self.now);
        settings::set(self.tx, settings::RETIRED_OPTIONS, &to_value(&retired)?, self.now).await?;
        for RemovedFlag { platform, flag, default } in removed {
            let document = match platform {
                Some(platform) => path::member(&format!("{at}.overrides.platforms"), &platform),
                None => format!("{at}.config"),
            };
            let reason = match default {
                Some(default) => format!(
                    "removed: through {KEEP_DAYS} days agents are sent osquery's default {default}, which goes over their \
                     flagfile{}; put the key back to keep another value",
                    effect(&flag)
                ),
                None => "removed, but agents keep its value until they restart, and the server has no default to send instead; put the key back with the value you want".to_owned(),
            };
            self.warn(path::member(&format!("{document}.options"), &flag), reason);
        }
        Ok(())
    }

    /// Says which built-in options are not in force any more, now that an operator has chosen others.
    fn warn_of_left_out(&mut self, at: &str, new: &Value) {
        let flags = |options: &Value| options["config"]["options"].as_object().cloned().unwrap_or_default();
        let kept = flags(new);
        for (flag, built_in) in flags(&self.built_in.options) {
            let default = default_of(&flag);
            if kept.contains_key(&flag) || default.as_ref() == Some(&built_in) {
                continue;
            }
            let or_default = default.map(|default| format!(", or by osquery's default {default}")).unwrap_or_default();
            let reason = format!(
                "left out, while the built-in options set it to {built_in}: agents keep that until they restart and then go \
                 by their flagfile{or_default}{}; put the key in to keep it",
                effect(&flag)
            );
            self.warn(path::member(&format!("{at}.config.options"), &flag), reason);
        }
    }
}

/// Whether the text is the address of a web server, as far as a look shows.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_alphanumeric() || c == '[') && !rest.contains(char::is_whitespace)
    })
}

/// What the default of a flag changes in what operators see.
fn effect(flag: &str) -> &'static str {
    match flag {
        "pack_delimiter" => ", so results are named pack_PACK_QUERY",
        _ => "",
    }
}

/// Merges `change` into `config`, part by part. Agent options are replaced as a whole, so that options removed from the
/// file are no longer served.
fn merge(config: &mut Value, change: Value) {
    let (Value::Object(config), Value::Object(change)) = (config, change) else { return };
    for (key, value) in change {
        match (config.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if key != "agent_options" => old.extend(new),
            (_, value) => {
                config.insert(key, value);
            }
        }
    }
}
