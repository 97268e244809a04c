//! The server's certificate: whether it can be used, by whom, and until when.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Diagnosis;
use crate::clock::Moment;
use crate::config::Config;
use crate::tls::{self, CertificateFiles, ChainFacts};

const SUBJECT: &str = "certificate";

pub(super) fn check(config: &Config, now: Moment) -> Vec<Diagnosis> {
    let server = &config.server;
    if !server.tls {
        return vec![Diagnosis::ok(SUBJECT, "the server speaks plain HTTP (server.tls=false)")];
    }
    let (cert, key, is_own) = match tls::certificate_files(server) {
        Ok(CertificateFiles::Configured(cert, key)) => (cert, key, false),
        Ok(CertificateFiles::SelfSigned(cert, key)) => (cert, key, true),
        Ok(CertificateFiles::NotMadeYet) => {
            let found = format!("the first start makes a self-signed certificate in {}", server.tls_dir.display());
            return vec![Diagnosis::ok(SUBJECT, found)];
        }
        Err(error) => return vec![unusable(&format!("{error:#}"))],
    };
    match tls::examine(&cert, &key, &server.tls_names, now) {
        Ok(facts) => of_chain(&cert, &facts, is_own, now).into_iter().chain(of_key(&key)).collect(),
        Err(error) => vec![unusable(&format!("{error:#}"))],
    }
}

fn unusable(reason: &str) -> Diagnosis {
    let remedy =
        "set server.cert to the chain and server.key to its key, both PEM, or neither for a self-signed certificate";
    Diagnosis::fail(SUBJECT, reason, remedy)
}

fn of_chain(cert: &Path, facts: &ChainFacts, is_own: bool, now: Moment) -> Vec<Diagnosis> {
    let path = cert.display();
    let mut diagnoses = Vec::new();
    let until = facts.expires_at.map_or_else(|| "no end".to_owned(), |at| at.to_utc().format("%Y-%m-%d").to_string());
    let renew = if is_own {
        "remove server.crt and server.key in server.tls_dir, start the server, and give agents the new certificate"
    } else {
        "renew it, and replace both files; the server reads them within a minute"
    };
    match facts.expires_at {
        Some(end) if end <= now => {
            diagnoses.push(Diagnosis::fail(SUBJECT, format!("{path} has expired ({until})"), renew));
        }
        Some(end) if tls::expires_soon(end, now) => {
            diagnoses.push(Diagnosis::warn(SUBJECT, format!("{path} expires soon ({until})"), renew));
        }
        _ => {}
    }
    if facts.is_not_valid_yet {
        let remedy = "set the clock of this machine, or wait until the certificate begins";
        diagnoses.push(Diagnosis::fail(SUBJECT, format!("{path} is not valid yet"), remedy));
    }
    if let Some(number) = facts.out_of_order {
        diagnoses.push(Diagnosis::fail(
            SUBJECT,
            format!("{path}: certificate {number} of {} has signed none of those before it", facts.certificates),
            "put the server's certificate first, and behind each one that which signed it",
        ));
    }
    if !facts.missing_names.is_empty() {
        let names = facts.missing_names.join(", ");
        let remedy = if is_own { renew } else { "get a certificate for these names, or correct server.tls_names" };
        let found = format!("{path} does not name {names}, which server.tls_names lists");
        diagnoses.push(Diagnosis::warn(SUBJECT, found, remedy));
    }
    if !facts.is_self_signed && facts.certificates == 1 {
        diagnoses.push(Diagnosis::warn(
            SUBJECT,
            format!("{path} holds the server's certificate alone, which a CA has signed"),
            "append the intermediate certificates, unless agents trust that very CA (--tls_server_certs)",
        ));
    }
    if diagnoses.is_empty() {
        let found = match facts.is_self_signed {
            true => format!("{path} is self-signed, valid until {until}; agents need it as --tls_server_certs"),
            false => format!("{path} is valid until {until}, with a chain of {}", facts.certificates),
        };
        diagnoses.push(Diagnosis::ok(SUBJECT, found));
    }
    diagnoses
}

fn of_key(key: &Path) -> Option<Diagnosis> {
    let mode = std::fs::metadata(key).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| {
        let found = format!("everybody on this machine may use the private key {}", key.display());
        Diagnosis::warn(SUBJECT, found, "take these rights away: chmod o= on the file")
    })
}
