//! The certificates that a server shows: whether hosts can trust them, and if not, why.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use muster_tls::{TlsPolicy, certificate_errors};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Server;
use crate::commands::debug::archive::hex;
use crate::commands::debug::now;

/// Days before the end of a certificate from which a warning is worth it: renewals by ACME come 30 days before.
const SOON_DAYS: i64 = 21;

const SECONDS_OF_DAY: i64 = 86_400;

/// What a server has shown.
struct ShownCertificate {
    subject: String,
    issuer: String,
    names: Vec<String>,
    /// Seconds since 1970.
    begins: i64,
    ends: i64,
    /// Of all that the server sends, with intermediate ones.
    chain: usize,
    sha256: String,
}

/// Shakes hands as a client with the trust of the context does, and describes the certificate.
///
/// # Errors
/// Why it is not trusted, with the certificate and the remedy.
pub async fn check(server: &Server, stream: TcpStream) -> anyhow::Result<Vec<String>> {
    let refused = match shake(server, &server.policy, stream).await {
        Ok(stream) => return remarks(&stream),
        Err(error) => in_words(&error, server),
    };
    // What is wrong shows in the certificate, which is seen only if it is not verified.
    let again = TcpStream::connect((server.host.as_str(), server.port)).await;
    let seen = match again {
        Ok(stream) => shake(server, &TlsPolicy::unverified(), stream).await.ok().and_then(|stream| shown(&stream).ok()),
        Err(_) => None,
    };
    let Some(seen) = seen else {
        return Err(anyhow!("{refused}"));
    };
    Err(anyhow!("{refused}\n  {}\n  Remedy: {}", seen.lines().join("\n  "), remedy(&refused, &seen, server)))
}

async fn shake(server: &Server, policy: &TlsPolicy, stream: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(policy.client_config()?));
    Ok(connector.connect(policy.name_of(&server.host)?, stream).await?)
}

fn remarks(stream: &TlsStream<TcpStream>) -> anyhow::Result<Vec<String>> {
    // Certificates of an old format are accepted without verification, and cannot be read.
    let Ok(seen) = shown(stream) else { return Ok(vec!["  The certificate cannot be read.".to_owned()]) };
    let mut lines: Vec<_> = seen.lines().iter().map(|line| format!("  {line}")).collect();
    let days = (seen.ends - now().timestamp()) / SECONDS_OF_DAY;
    if days < SOON_DAYS {
        lines.push(format!("Warning: the certificate ends in {days} days; renew it before hosts refuse it."));
    }
    Ok(lines)
}

fn shown(stream: &TlsStream<TcpStream>) -> anyhow::Result<ShownCertificate> {
    let chain = stream.get_ref().1.peer_certificates().context("the server shows no certificate")?;
    let [first, ..] = chain else { bail!("the server shows no certificate") };
    ShownCertificate::read(first, chain.len())
}

impl ShownCertificate {
    fn read(der: &CertificateDer<'_>, chain: usize) -> anyhow::Result<Self> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| anyhow!("the certificate cannot be read"))?;
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let names = alternative.map(|names| names.value.general_names.iter().filter_map(name).collect());
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            names: names.unwrap_or_default(),
            begins: certificate.validity().not_before.timestamp(),
            ends: certificate.validity().not_after.timestamp(),
            chain,
            sha256: hex(&Sha256::digest(der)),
        })
    }

    fn lines(&self) -> Vec<String> {
        let names = if self.names.is_empty() { "none".to_owned() } else { self.names.join(", ") };
        vec![
            format!("Certificate: {}; names: {names}", self.subject),
            format!("Issued by: {}; certificates sent: {}", self.issuer, self.chain),
            format!("Valid from {} to {}; SHA-256: {}", day(self.begins), day(self.ends), self.sha256),
        ]
    }

    fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

fn day(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0).map(|at| at.format("%Y-%m-%d").to_string()).unwrap_or_default()
}

/// What has failed, where the words of the library mean something to programmers only.
fn in_words(error: &anyhow::Error, server: &Server) -> String {
    match certificate_errors::of_cause(error.as_ref()) {
        Some(CertificateError::UnknownIssuer) => {
            let who = server.trusted.as_deref().unwrap_or("this machine");
            return format!("its certificate is signed by nobody that {who} trusts");
        }
        Some(error) => return certificate_errors::describe(error),
        None => {}
    }
    let refused = format!("{error:#}");
    if refused.contains("handshake eof") {
        return "the other end closed the connection during the TLS handshake: is this port served without TLS, or by a proxy?"
            .to_owned();
    }
    if refused.contains("InvalidContentType") {
        return "the other end does not speak TLS: is this the right port?".to_owned();
    }
    refused
}

/// What to do about a certificate that was refused.
fn remedy(refused: &str, seen: &ShownCertificate, server: &Server) -> String {
    let now = now().timestamp();
    if now > seen.ends {
        return "renew the certificate on the server (server.cert, server.key); if it is valid, set the clock of this machine".to_owned();
    }
    if now < seen.begins {
        return "set the clock of this machine, or have the certificate made anew".to_owned();
    }
    if refused.contains("not valid for the name") {
        return format!(
            "use one of its names as the address, or have a certificate made for {} (server.tls_names, if the server makes its \
             own)",
            server.host
        );
    }
    if refused.contains("that of a CA") || seen.is_self_signed() {
        return match &server.trusted {
            Some(path) => format!("{path} is not the certificate of this server; copy the right one from the server"),
            None => "the certificate is self-signed: copy it from the server, and name it with --fleet-certificate (hosts: --tls_server_certs)".to_owned(),
        };
    }
    match (&server.trusted, seen.chain) {
        (_, 1) => {
            "have the server send the intermediate certificates too (server.cert with the whole chain), or trust the CA \
             that has issued it"
                .to_owned()
        }
        (Some(path), _) => format!("{path} does not have the CA that has issued it; add that CA to the file"),
        (None, _) => "this machine does not trust the CA; name its certificate with --fleet-certificate (hosts: --tls_server_certs)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(names: &[&str], last_year: i32) -> ShownCertificate {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(last_year, 1, 1));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ShownCertificate::read(made.der(), 1).unwrap()
    }

    fn remedy_for(refused: &str, seen: &ShownCertificate, rootca: &str) -> String {
        let context = crate::contexts::ServerContext { rootca: rootca.to_owned(), ..Default::default() };
        remedy(refused, seen, &Server::of(&context, "fleet.test:8080").unwrap())
    }

    #[test]
    fn a_certificate_is_described() {
        let lines = certificate(&["fleet.test", "127.0.0.1", "::1"], 2049).lines();
        assert!(lines[0].ends_with("names: fleet.test, 127.0.0.1, ::1"), "{lines:?}");
        assert!(lines[2].starts_with("Valid from 2000-01-01 to 2049-01-01; SHA-256: "), "{lines:?}");
    }

    #[test]
    fn what_the_library_says_is_put_in_words() {
        let context = crate::contexts::ServerContext::default();
        let server = Server::of(&context, "fleet.test:8080").unwrap();
        let words = |refused: &'static str| in_words(&anyhow!(refused), &server);
        assert!(words("tls handshake eof").ends_with("is this port served without TLS, or by a proxy?"));
        let refused = |error| in_words(&rustls::Error::InvalidCertificate(error).into(), &server);
        let unknown = refused(CertificateError::UnknownIssuer);
        assert!(unknown.starts_with("its certificate is signed by nobody that this machine trusts"), "{unknown}");
        assert_eq!(refused(CertificateError::Expired), "the certificate has expired");
        assert_eq!(words("expired"), "expired");
    }

    #[test]
    fn each_fault_has_its_remedy() {
        let good = certificate(&["other.test"], 2049);
        assert!(remedy_for("expired", &certificate(&["fleet.test"], 2001), "").starts_with("renew"));
        assert!(remedy_for("the certificate is not valid for the name", &good, "").contains("made for fleet.test"));
        assert!(remedy_for("UnknownIssuer", &good, "").contains("--fleet-certificate"));
        assert!(remedy_for("UnknownIssuer", &good, "ca.pem").starts_with("ca.pem is not the certificate"));
        let issued = ShownCertificate { issuer: "CN=A company".to_owned(), ..good };
        assert!(remedy_for("UnknownIssuer", &issued, "ca.pem").contains("intermediate"));
        let whole = ShownCertificate { chain: 3, ..issued };
        assert!(remedy_for("UnknownIssuer", &whole, "ca.pem").starts_with("ca.pem does not have the CA"));
    }
}
