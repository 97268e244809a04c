//! What is wrong with certificates, in words for those who operate servers.

use std::error::Error as StdError;
use std::io;

use chrono::{DateTime, SecondsFormat};
use rustls::{CertificateError, Error};
use rustls_pki_types::UnixTime;

/// Whether a certificate is of X.509 version 1, which has no extensions. The library reads none, and exposes the case only as
/// text.
pub fn is_of_version_1(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if format!("{:?}", other.0) == "UnsupportedCertVersion")
}

/// Whether a certificate of a CA is shown as that of a server. The library exposes this case only as text. If the text changes,
/// such certificates are refused and the tests fail.
pub fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if format!("{:?}", other.0) == "CaUsedAsEndEntity")
}

/// One sentence that says what is wrong with a certificate.
pub fn describe(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired => "the certificate has expired".to_owned(),
        E::ExpiredContext { not_after, .. } => format!("the certificate expired at {}", shown(*not_after)),
        E::NotValidYet => "the certificate is not valid yet".to_owned(),
        E::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not valid yet, only from {} on", shown(*not_before))
        }
        E::UnknownIssuer => "the certificate is issued by no CA that is trusted here".to_owned(),
        E::NotValidForName => "the certificate is not valid for the name of the server".to_owned(),
        E::NotValidForNameContext { expected, presented } => {
            let names = match presented.as_slice() {
                [] => "it has no names".to_owned(),
                names => format!("it is for {}", names.join(", ")),
            };
            format!("the certificate is not valid for the name {:?}; {names}", expected.to_str())
        }
        E::BadSignature => {
            "the certificate has a wrong signature: it was changed, or another CA of that name has signed it".to_owned()
        }
        E::BadEncoding => "the certificate cannot be read".to_owned(),
        E::Revoked => "the certificate was revoked".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "the certificate is not made for this use (extended key usage)".to_owned()
        }
        error if is_of_version_1(error) => "the certificate is of X.509 version 1; it must be of version 3".to_owned(),
        error if is_authority(error) => "the certificate is that of a CA, not that of a server".to_owned(),
        // The library has a text for each; new ones are added now and then.
        other => other.to_string(),
    }
}

fn shown(time: UnixTime) -> String {
    let at = i64::try_from(time.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// What is wrong with a certificate, if that is why something has failed.
pub fn of_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a CertificateError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(Error::InvalidCertificate(found)) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        // What an I/O error holds is not its cause.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = of_cause(inner)
        {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::OtherError;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("odd")]
    struct CaUsedAsEndEntity;

    #[test]
    fn certificates_are_described_without_words_of_the_library() {
        let day = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(days * 86_400));
        let name = rustls_pki_types::ServerName::try_from("a.test").unwrap();
        let other_name = CertificateError::NotValidForNameContext {
            expected: name,
            presented: vec!["b.test".to_owned(), "c.test".to_owned()],
        };
        let authority = CertificateError::Other(OtherError(Arc::new(CaUsedAsEndEntity)));
        for (error, words) in [
            (
                CertificateError::ExpiredContext { time: day(2), not_after: day(1) },
                "the certificate expired at 1970-01-02T00:00:00Z",
            ),
            (
                CertificateError::NotValidYetContext { time: day(1), not_before: day(2) },
                "the certificate is not valid yet, only from 1970-01-03T00:00:00Z on",
            ),
            (CertificateError::UnknownIssuer, "the certificate is issued by no CA that is trusted here"),
            (other_name, "the certificate is not valid for the name \"a.test\"; it is for b.test, c.test"),
            (authority, "the certificate is that of a CA, not that of a server"),
        ] {
            assert_eq!(describe(&error), words);
        }
    }

    #[test]
    fn a_certificate_is_found_behind_other_errors() {
        let certificate = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, certificate()));
        assert_eq!(of_cause(&wrapped), Some(&CertificateError::UnknownIssuer));
        assert_eq!(of_cause(&certificate()), Some(&CertificateError::UnknownIssuer));
        assert_eq!(of_cause(&io::Error::other("refused")), None);
    }
}
