use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use muster_tls::certificate_errors::is_authority;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::expiry;
use crate::clock::Moment;

/// What can be said of a certificate and those behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFacts {
    pub certificates: usize,
    /// When the first of them expires.
    pub expires_at: Option<Moment>,
    pub is_not_valid_yet: bool,
    /// Whether it has signed itself, or is the certificate of a CA.
    pub is_self_signed: bool,
    /// The first one, counted from 1, that has signed none of those before it. One that comes twice harms nobody.
    pub out_of_order: Option<usize>,
    /// Names that were asked for and that it does not have.
    pub missing_names: Vec<String>,
}

/// Looks at the certificate of a server, and whether the key is its own.
///
/// # Errors
/// When a file cannot be read, or they do not belong together.
pub fn examine(cert: &Path, key: &Path, names: &[String], now: Moment) -> Result<ChainFacts> {
    let chain = super::read(cert, key)?.cert;
    let server = ParsedCertificate::try_from(&chain[0])?;
    let expires_at = expiry::of_chain(&chain);
    let is_not_valid_yet = chain.iter().any(|certificate| begins_after(certificate, now));
    // A time at which all are valid, so that only the signatures count.
    let last = expires_at.map_or(now, |end| end.minus(Duration::from_secs(1)));
    let valid_at = if is_not_valid_yet { last } else { last.min(now) };
    let signed_by = |intermediates: &[CertificateDer<'_>], anchor: &CertificateDer<'_>| {
        signature(&server, intermediates, anchor, valid_at)
    };
    let is_self_signed = match signed_by(&[], &chain[0]) {
        Ok(()) => true,
        Err(Error::InvalidCertificate(error)) => is_authority(&error),
        Err(_) => false,
    };
    let follows = |index: &usize| is_in_time(&signed_by(&chain[1..*index], &chain[*index]));
    let out_of_order = (!is_self_signed).then(|| (1..chain.len()).find(|index| !follows(index))).flatten();
    let has = |name: &&String| {
        ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&server, &name).is_ok())
    };
    Ok(ChainFacts {
        certificates: chain.len(),
        expires_at,
        is_not_valid_yet,
        is_self_signed,
        out_of_order: out_of_order.map(|index| index + 1),
        missing_names: names.iter().filter(|name| !has(name)).cloned().collect(),
    })
}

/// Whether the signatures are right; what is out of time is told otherwise.
fn is_in_time(verified: &Result<(), Error>) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match verified {
        Ok(()) => true,
        Err(Error::InvalidCertificate(error)) => {
            matches!(error, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
        }
        Err(_) => false,
    }
}

fn signature(
    server: &ParsedCertificate<'_>,
    intermediates: &[CertificateDer<'_>],
    anchor: &CertificateDer<'_>,
    at: Moment,
) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned())?;
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(server, &roots, intermediates, unix_time(at), algorithms)
}

fn begins_after(certificate: &CertificateDer<'_>, now: Moment) -> bool {
    let Ok(certificate) = ParsedCertificate::try_from(certificate) else { return false };
    let verified =
        verify_server_cert_signed_by_trust_anchor(&certificate, &RootCertStore::empty(), &[], unix_time(now), &[]);
    matches!(verified, Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { .. })))
}

fn unix_time(moment: Moment) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(moment.seconds()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    const MID_2030: Moment = Moment(1_909_000_000_000_000);

    fn params(name: &str, is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2031, 1, 1);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    /// The facts of a chain of these parts of root, intermediate and server (`r`, `i`, `s`).
    fn facts(order: &str, names: &[&str], now: Moment) -> ChainFacts {
        let keys: Vec<KeyPair> = (0..3).map(|_| KeyPair::generate().unwrap()).collect();
        let root = params("root.test", true).self_signed(&keys[0]).unwrap();
        let by_root = Issuer::new(params("root.test", true), &keys[0]);
        let intermediate = params("intermediate.test", true).signed_by(&keys[1], &by_root).unwrap();
        let by_intermediate = Issuer::new(params("intermediate.test", true), &keys[1]);
        let server = params("server.test", false).signed_by(&keys[2], &by_intermediate).unwrap();
        let pem = |part| match part {
            'r' => root.pem(),
            'i' => intermediate.pem(),
            _ => server.pem(),
        };
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
        std::fs::write(&cert, order.chars().map(pem).collect::<String>()).unwrap();
        std::fs::write(&key, keys[2].serialize_pem()).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        examine(&cert, &key, &names, now).unwrap()
    }

    #[test]
    fn a_chain_is_followed_from_the_server_to_the_root() {
        for (order, out_of_order) in
            [("s", None), ("si", None), ("sir", None), ("sri", Some(2)), ("sii", None), ("sr", Some(2))]
        {
            let facts = facts(order, &[], MID_2030);
            assert_eq!((facts.out_of_order, facts.certificates), (out_of_order, order.len()), "{order}");
            assert!(!facts.is_self_signed && !facts.is_not_valid_yet, "{order}");
        }
        let facts = facts("si", &["server.test", "other.test", "10.0.0.1"], MID_2030);
        assert_eq!(facts.missing_names, ["other.test", "10.0.0.1"]);
    }

    #[test]
    fn the_order_is_known_also_out_of_time() {
        for (now, is_not_valid_yet) in [(Moment(1_000_000), true), (Moment(2_000_000_000_000_000), false)] {
            let facts = facts("sir", &[], now);
            assert_eq!((facts.out_of_order, facts.is_not_valid_yet), (None, is_not_valid_yet));
        }
    }

    #[test]
    fn a_certificate_may_have_signed_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
        for is_ca in [false, true] {
            let own = KeyPair::generate().unwrap();
            std::fs::write(&cert, params("self.test", is_ca).self_signed(&own).unwrap().pem()).unwrap();
            std::fs::write(&key, own.serialize_pem()).unwrap();
            assert!(examine(&cert, &key, &[], MID_2030).unwrap().is_self_signed, "{is_ca}");
        }
    }
}
