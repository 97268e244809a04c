use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use crate::clock::Moment;

/// How long before the end the log begins to warn.
pub(super) const WARN_BEFORE: Duration = Duration::from_secs(21 * 24 * 3600);

/// When the first certificate of a chain expires. `None` if it cannot be read or never does.
pub(super) fn of_chain(chain: &[CertificateDer<'_>]) -> Option<Moment> {
    chain.iter().filter_map(of_one).min()
}

/// The verifier names the end of a certificate when it is asked about a time beyond every end.
fn of_one(certificate: &CertificateDer<'_>) -> Option<Moment> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    let beyond = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let verified = verify_server_cert_signed_by_trust_anchor(&certificate, &RootCertStore::empty(), &[], beyond, &[]);
    match verified {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            let micros = i64::try_from(not_after.as_secs()).ok()?.checked_mul(1_000_000)?;
            Some(Moment(micros))
        }
        _ => None,
    }
}

/// What to say of a certificate that has expired or soon will.
pub(super) fn warning(expires_at: Moment, now: Moment) -> Option<&'static str> {
    if expires_at <= now {
        return Some("the certificate has expired: agents and fleetctl refuse the server; renew it");
    }
    (expires_at.since(now) <= WARN_BEFORE)
        .then_some("the certificate expires soon, and agents and fleetctl will refuse the server then; renew it")
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    const NEW_YEAR_2031: Moment = Moment(1_924_992_000_000_000);

    #[test]
    fn the_first_end_in_a_chain_counts() {
        let chain = [certificate(2040), certificate(2031), certificate(2050)];
        assert_eq!(of_chain(&chain), Some(NEW_YEAR_2031));
        assert_eq!(of_chain(&[certificate(2021)]), Some(Moment(1_609_459_200_000_000)), "it may be over");
        assert_eq!(of_chain(&[CertificateDer::from(vec![0; 8])]), None);
    }

    #[test]
    fn a_certificate_is_warned_of_three_weeks_before_it_expires_and_after() {
        let day = Duration::from_secs(24 * 3600);
        let said_before = |days: u32| warning(NEW_YEAR_2031, NEW_YEAR_2031.minus(day * days));
        assert_eq!(said_before(22), None);
        assert!(said_before(21).unwrap().contains("expires soon"));
        assert!(said_before(0).unwrap().contains("has expired"));
        assert!(warning(NEW_YEAR_2031, NEW_YEAR_2031.plus(day)).unwrap().contains("has expired"));
    }
}
