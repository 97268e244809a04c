//! The file that stores servers and sessions, `~/.fleet/config`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::{documents, private_file};

pub const DEFAULT_CONTEXT: &str = "default";

/// One server and the session on it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerContext {
    pub address: String,
    pub email: String,
    pub token: String,
    pub tls_skip_verify: bool,
    /// PEM file of CA certificates to trust instead of the system's.
    pub rootca: String,
    pub url_prefix: String,
    /// Sent with every request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_headers: BTreeMap<String, String>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ContextFile {
    contexts: BTreeMap<String, ServerContext>,
}

/// The context file with one context selected. Nothing is written before `save`.
pub struct Contexts {
    path: PathBuf,
    selected: String,
    file: ContextFile,
}

impl Contexts {
    /// Reads the file; a missing file counts as empty.
    pub fn open(path: PathBuf, selected: &str) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let file = match fs::read_to_string(&path) {
            Ok(text) => documents::parse::<Option<ContextFile>>(&name, &text)
                .map_err(|problem| match text.contains("contexts") {
                    true => anyhow!("{problem}"),
                    // Another file may have secrets, which an error must not show.
                    false => anyhow!("{name} is not a file of contexts; is --config, or the variable CONFIG, right?"),
                })?
                .flatten()
                .unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::NotFound => ContextFile::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        };
        Ok(Self { path, selected: selected.to_owned(), file })
    }

    pub fn selected(&self) -> &str {
        &self.selected
    }

    /// The names of all contexts.
    pub fn names(&self) -> Vec<String> {
        self.file.contexts.keys().cloned().collect()
    }

    pub fn is_known(&self) -> bool {
        self.file.contexts.contains_key(&self.selected)
    }

    /// The selected context; the default context always exists.
    pub fn current(&self) -> anyhow::Result<ServerContext> {
        match self.file.contexts.get(&self.selected) {
            Some(context) => Ok(context.clone()),
            None if self.selected == DEFAULT_CONTEXT => Ok(ServerContext::default()),
            None => bail!("context {:?} is not found", self.selected),
        }
    }

    /// The selected context, created if it does not exist.
    pub fn edit(&mut self) -> &mut ServerContext {
        self.file.contexts.entry(self.selected.clone()).or_default()
    }

    /// Replaces the file atomically, readable only by its owner.
    pub fn save(&self) -> anyhow::Result<()> {
        let text = documents::to_yaml(&self.file)?;
        private_file::write(&self.path, text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// `~/.fleet/config`
pub fn default_path() -> anyhow::Result<PathBuf> {
    let home = std::env::home_dir().context("cannot find the home directory; set the context file with --config")?;
    Ok(home.join(".fleet").join("config"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn open(path: &Path, selected: &str) -> Contexts {
        Contexts::open(path.to_path_buf(), selected).unwrap()
    }

    #[test]
    fn a_context_survives_and_stays_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/.fleet/config");
        let wanted = ServerContext {
            address: "https://fleet.example.com".to_owned(),
            token: "0123: on".to_owned(),
            tls_skip_verify: true,
            custom_headers: BTreeMap::from([("X-A".to_owned(), "null".to_owned())]),
            ..ServerContext::default()
        };
        let mut contexts = open(&path, "other");
        *contexts.edit() = wanted.clone();
        contexts.save().unwrap();
        contexts.save().unwrap();

        assert!(open(&path, "other").current().unwrap() == wanted);
        assert!(open(&path, "default").current().unwrap() == ServerContext::default());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn an_open_file_becomes_private_when_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, "contexts: {}\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        open(&path, "default").save().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn unknown_keys_are_refused_with_their_position() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, "contexts:\n  default:\n    adress: x\n").unwrap();
        let error = Contexts::open(path.clone(), "default").err().unwrap().to_string();
        assert!(error.starts_with(&format!("{}:3:5: unknown key \"adress\"", path.display())), "{error}");
    }

    #[test]
    fn other_files_are_refused_without_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, "root:x:0:0:planted\nother:x\n").unwrap();
        let error = Contexts::open(path, "default").err().unwrap().to_string();
        assert!(
            error.contains("the variable CONFIG") && !error.contains("root") && !error.contains("planted"),
            "{error}"
        );
    }

    #[test]
    fn empty_files_and_other_contexts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, "# nothing yet\n").unwrap();
        assert!(open(&path, "default").current().is_ok());
        let error = open(&path, "x").current().err().unwrap().to_string();
        assert_eq!(error, "context \"x\" is not found");
    }
}
