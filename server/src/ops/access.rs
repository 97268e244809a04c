//! Who may read the metrics: anybody, or whoever shows the user name and password of `prometheus.basic_auth`.

use actix_web::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config;

/// The hash of `username:password`, or `None` if anybody may read. Hashes are compared, in a time that says nothing about how
/// much of a guess is right, or how long it should be.
#[derive(Clone)]
pub(super) struct MetricsAccess(Option<[u8; 32]>);

impl std::fmt::Debug for MetricsAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "MetricsAccess(********)" } else { "MetricsAccess(anybody)" })
    }
}

impl MetricsAccess {
    /// Reads the file of the password, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of(config: &config::PrometheusBasicAuth) -> Result<Self, String> {
        let (username, password) = (&config.username, config.password()?);
        let is_asked = !username.is_empty() || !password.is_empty();
        Ok(Self(is_asked.then(|| Sha256::digest(format!("{username}:{}", password.reveal())).into())))
    }

    pub fn is_allowed(&self, request: &HttpRequest) -> bool {
        let Some(wanted) = self.0 else { return true };
        let Some(shown) = shown(request) else { return false };
        Sha256::digest(shown)[..].ct_eq(&wanted[..]).into()
    }
}

/// The user name and password that a request shows, with a colon between them.
fn shown(request: &HttpRequest) -> Option<Vec<u8>> {
    let (scheme, encoded) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok()).flatten()
}

/// The answer to whoever may not read.
pub(super) fn refusal() -> HttpResponse {
    let reason = "the metrics are for the user name and password of the settings prometheus.basic_auth";
    HttpResponse::Unauthorized()
        .insert_header((WWW_AUTHENTICATE, r#"Basic realm="metrics", charset="UTF-8""#))
        .json(json!({ "error": reason }))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::config::{PrometheusBasicAuth, Secret};

    fn access(username: &str, password: &str) -> MetricsAccess {
        let password = Secret::new(password);
        let username = username.to_owned();
        MetricsAccess::of(&PrometheusBasicAuth { username, password, password_path: None }).unwrap()
    }

    fn with_header(value: &str) -> HttpRequest {
        TestRequest::get().insert_header((AUTHORIZATION, value)).to_http_request()
    }

    #[test]
    fn only_the_whole_name_and_password_are_allowed() {
        let access = access("scraper", "not:a secret");
        let encoded = |text: &str| STANDARD.encode(text);
        let right = encoded("scraper:not:a secret");
        for header in [format!("Basic {right}"), format!("basic  {right} ")] {
            assert!(access.is_allowed(&with_header(&header)), "{header}");
        }
        for header in [
            format!("Bearer {right}"),
            format!("Basic{right}"),
            format!("Basic {}", encoded("scraper:not:a secret ")),
            format!("Basic {}", encoded("scraper:not:a secre")),
            format!("Basic {}", encoded("Scraper:not:a secret")),
            format!("Basic {}", encoded("scraper")),
            format!("Basic {}", encoded(":")),
            "Basic".to_owned(),
            "Basic ".to_owned(),
            "Basic %%%".to_owned(),
        ] {
            assert!(!access.is_allowed(&with_header(&header)), "{header}");
        }
        assert!(!access.is_allowed(&TestRequest::get().to_http_request()));
        assert_eq!(format!("{access:?}"), "MetricsAccess(********)");
    }

    #[test]
    fn anybody_may_read_when_no_name_is_set() {
        let access = access("", "");
        assert!(access.is_allowed(&TestRequest::get().to_http_request()));
        assert!(access.is_allowed(&with_header("Basic anything")));
    }
}
