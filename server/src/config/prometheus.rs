use super::section::section;
use super::value::Secret;

section! {
    /// Who may read the metrics.
    "prometheus.basic_auth" PrometheusBasicAuth {
        /// User name that GET /metrics asks for, with HTTP basic authentication. Empty: it asks for nothing. Set the password as well.
        username: String = String::new(),
        /// Password of that user; make it long and random, because guesses are not counted.
        password: Secret = Secret::default(),
    }
}

impl PrometheusBasicAuth {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.username.is_empty() != self.password.is_empty() {
            problems.push(
                "prometheus.basic_auth.username and prometheus.basic_auth.password: set both or neither".to_owned(),
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
