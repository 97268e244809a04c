use std::error::Error;
use std::time::Duration;

use muster_api::rest::{ErrorBody, FREEZE_OVERRIDE, FieldError};
use muster_tls::certificate_errors::{self, is_authority, is_of_version_1};
use reqwest::StatusCode;
use rustls::CertificateError;

/// Why a request failed. Messages name the remedy.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    #[error("cannot reach {address}: {cause}{remedy}")]
    Unreachable { address: String, cause: String, remedy: &'static str },
    #[error("unauthenticated, or invalid token")]
    Unauthenticated,
    #[error(
        "Password reset required. Please sign into the Fleet UI to update your password, then log in again with: fleetctl login."
    )]
    PasswordReset,
    #[error("{}", forbidden(.0))]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{}", fields(.0))]
    Invalid(Vec<FieldError>),
    #[error("too many requests; try again in {retry_after} seconds")]
    Busy { retry_after: String },
    #[error("the server responded with {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("{url} responded with {status}, but not like a Fleet server; check address and url-prefix of the context")]
    NotFleet { url: String, status: StatusCode },
    #[error("cannot read the response of {url}; do fleetctl and the server have the same version?")]
    Unreadable {
        url: String,
        #[source]
        cause: serde_json::Error,
    },
    /// A load balancer has chosen another node.
    #[error("the answer comes from the node {here}, not from the one that is asked")]
    OtherNode { here: String },
    /// Something answers, but not the debug API.
    #[error(
        "/debug is not served at {address}; if server.debug_address is set, name it: --node-address https://HOST:PORT"
    )]
    NotServed { address: String },
    /// The server has nothing of the kind, such as InnoDB's status with SQLite.
    #[error("{0}")]
    NotThere(String),
    /// Another request takes what only one may take, such as a CPU profile.
    #[error("{reason}")]
    Taken { reason: String, retry_after: Duration },
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("the answer has more than {limit_mib} MiB")]
    TooLarge { limit_mib: usize },
    #[error("the server ended its answer: {0}")]
    Ended(String),
    #[error("a line of {url} is longer than {limit_mib} MiB; select fewer columns or rows")]
    LongLine { url: String, limit_mib: usize },
}

/// A reason of the server's own says more than the role.
fn forbidden(reason: &str) -> String {
    match reason {
        "" | "forbidden" => "your role does not allow this; ask an administrator".to_owned(),
        reason => reason.to_owned(),
    }
}

impl RestError {
    pub fn unreachable(address: &str, error: reqwest::Error) -> Self {
        if let Some(refused) = certificate_errors::of_cause(&error) {
            let (cause, remedy) = (certificate_errors::describe(refused), certificate_remedy(refused));
            return Self::Unreachable { address: address.to_owned(), cause, remedy };
        }
        let timed_out = error.is_timeout();
        // Only the innermost cause is specific; the outer ones repeat the address.
        let mut cause: &dyn Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = if timed_out { "timed out".to_owned() } else { cause.to_string() };
        let (cause, remedy) = explained(cause);
        Self::Unreachable { address: address.to_owned(), cause, remedy }
    }

    pub(super) fn from_response(url: &str, status: StatusCode, retry_after: Option<String>, body: &[u8]) -> Self {
        let Ok(mut body) = serde_json::from_slice::<ErrorBody>(body) else {
            return Self::NotFleet { url: url.to_owned(), status };
        };
        body.errors.iter_mut().for_each(name_flag);
        let reason = body.errors.first().map_or_else(|| body.message.clone(), |error| error.reason.clone());
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN if reason.eq_ignore_ascii_case("password reset required") => Self::PasswordReset,
            StatusCode::FORBIDDEN => Self::Forbidden(reason),
            StatusCode::NOT_FOUND => Self::NotFound(reason),
            StatusCode::UNPROCESSABLE_ENTITY if !body.errors.is_empty() => Self::Invalid(body.errors),
            StatusCode::TOO_MANY_REQUESTS => Self::Busy { retry_after: retry_after.unwrap_or_else(|| "60".to_owned()) },
            status => Self::Refused { status, message: refused(status, &body, &reason) },
        }
    }
}

/// Parts of a request that people write as a flag of fleetctl.
const FLAGS: [(&str, &str); 3] =
    [("max_deletes", "--max-deletes"), (FREEZE_OVERRIDE, "--override-freeze"), ("plan", "--plan")];

/// Names the flag of fleetctl where the server names the part of the request that it became.
fn name_flag(error: &mut FieldError) {
    if let Some((_, flag)) = FLAGS.iter().find(|(part, _)| *part == error.name) {
        (*flag).clone_into(&mut error.name);
    }
    let or_header = format!(", or the header {FREEZE_OVERRIDE}");
    error.reason = error.reason.replace(&or_header, "");
}

/// What to do about a certificate that is refused.
fn certificate_remedy(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "; use one of these names, or set server.tls_names on the server and have a new certificate made"
        }
        E::Expired | E::ExpiredContext { .. } => "; renew the certificate on the server",
        E::NotValidYet | E::NotValidYetContext { .. } => "; are the clocks of this machine and of the server right?",
        error if is_authority(error) => {
            "; the file in rootca is not this server's certificate, set the right one with: fleetctl config set --rootca FILE"
        }
        error if is_of_version_1(error) => "; have it made anew on the server",
        _ => "; if the server uses a private CA, trust it with: fleetctl config set --rootca FILE",
    }
}

/// The cause of a failed connection, without words of the libraries, and the remedy.
fn explained(cause: String) -> (String, &'static str) {
    if cause.contains("invalid HTTP version") {
        return ("the server speaks TLS".to_owned(), "; begin the address with https://");
    }
    if cause.contains("InvalidContentType") {
        return ("the server does not speak TLS".to_owned(), "; is this its address and port?");
    }
    (cause, "; is the server running?")
}

fn refused(status: StatusCode, body: &ErrorBody, reason: &str) -> String {
    // Fleet's servers repeat the words of the status.
    let is_status = status.canonical_reason().is_some_and(|words| words.eq_ignore_ascii_case(&body.message));
    let mut message = match is_status && !reason.is_empty() {
        true => reason.to_owned(),
        false if reason == body.message => body.message.clone(),
        false => format!("{}: {reason}", body.message),
    };
    if let Some(uuid) = &body.uuid {
        message = format!("{message} (look for {uuid} in the server log)");
    }
    message
}

fn fields(errors: &[FieldError]) -> String {
    let one = |error: &FieldError| match error.name.as_str() {
        "" | "base" => error.reason.clone(),
        name => format!("{name}: {}", error.reason),
    };
    errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: u16, body: &str) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        RestError::from_response("https://x/api", status, None, body.as_bytes()).to_string()
    }

    #[test]
    fn a_failed_connection_has_a_remedy_of_its_own() {
        for (cause, part) in [
            ("invalid HTTP version parsed", "https://"),
            ("received corrupt message of type InvalidContentType", "address and port"),
            ("Connection refused (os error 111)", "is the server running?"),
        ] {
            let (shown, remedy) = explained(cause.to_owned());
            assert!(remedy.contains(part), "{cause}: {remedy}");
            assert!(!shown.contains("Invalid") && !shown.contains("parsed"), "{shown}");
        }
        for (error, part) in [
            (CertificateError::NotValidForName, "tls_names"),
            (CertificateError::Expired, "renew the certificate"),
            (CertificateError::NotValidYet, "clocks"),
            (CertificateError::UnknownIssuer, "private CA"),
        ] {
            assert!(certificate_remedy(&error).contains(part), "{error}");
        }
    }

    #[test]
    fn responses_become_messages_with_a_remedy() {
        let body = r#"{"message":"Validation Failed","errors":[{"name":"name","reason":"cannot be empty"},{"name":"base","reason":"x"}]}"#;
        assert_eq!(message(422, body), "name: cannot be empty; x");
        for (part, flag) in [("max_deletes", "--max-deletes"), ("Muster-Freeze-Override", "--override-freeze")] {
            let body = format!(
                r#"{{"message":"Validation Failed","errors":[{{"name":"{part}","reason":"is wrong"}},{{"name":"maxdeletes","reason":"x"}}]}}"#
            );
            assert_eq!(message(422, &body), format!("{flag}: is wrong; maxdeletes: x"));
        }
        let body = r#"{"message":"x","errors":[{"name":"base","reason":"do it: fleetctl --override-freeze REASON, or the header Muster-Freeze-Override"}]}"#;
        assert_eq!(message(403, body), "do it: fleetctl --override-freeze REASON");
        let body =
            r#"{"message":"Unknown Error","errors":[{"name":"base","reason":"database is locked"}],"uuid":"u-1"}"#;
        assert_eq!(
            message(500, body),
            "the server responded with 500 Internal Server Error: Unknown Error: database is locked (look for u-1 in the server log)"
        );
        let body = r#"{"message":"Bad request","errors":[{"name":"base","reason":"unknown status x"}]}"#;
        assert_eq!(message(400, body), "the server responded with 400 Bad Request: unknown status x");
        assert_eq!(
            message(400, r#"{"message":"Bad request","errors":[]}"#),
            "the server responded with 400 Bad Request: Bad request"
        );
        assert!(message(502, "<html>").starts_with("https://x/api responded with 502 Bad Gateway, but not like"));
        assert_eq!(
            message(429, r#"{"message":"slow down","errors":[]}"#),
            "too many requests; try again in 60 seconds"
        );
    }
}
