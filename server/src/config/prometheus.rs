use std::path::PathBuf;

use super::section::section;
use super::value::Secret;

section! {
    /// Who may read the metrics.
    "prometheus.basic_auth" PrometheusBasicAuth {
        /// User name that GET /metrics asks for, with HTTP basic authentication. Empty: it asks for nothing. Set the password as well.
        username: String = String::new(),
        /// Password of that user; make it long and random, because guesses are not counted.
        password: Secret = Secret::default(),
        /// File that contains the password, instead of prometheus.basic_auth.password; read at the start.
        password_path: Option<PathBuf> = None,
    }
}

impl PrometheusBasicAuth {
    /// The password, read from `password_path` if that is set.
    ///
    /// # Errors
    /// If the file cannot be read or is empty; the text begins with the key.
    pub fn password(&self) -> Result<Secret, String> {
        let Some(path) = &self.password_path else { return Ok(self.password.clone()) };
        Secret::read_file(path).map_err(|error| format!("prometheus.basic_auth.password_path: {error}"))
    }

    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.username.is_empty() != (self.password.is_empty() && self.password_path.is_none()) {
            problems.push(
                "prometheus.basic_auth.username and prometheus.basic_auth.password (or password_path): set both or neither"
                    .to_owned(),
            );
        }
        if self.password_path.is_some() && !self.password.is_empty() {
            problems.push(
                "prometheus.basic_auth.password and prometheus.basic_auth.password_path: set one of them, not both"
                    .to_owned(),
            );
        }
        if self.username.contains(':') {
            problems.push(
                "prometheus.basic_auth.username: must not contain a colon, which ends the name in HTTP basic authentication"
                    .to_owned(),
            );
        }
        problems
    }
}
