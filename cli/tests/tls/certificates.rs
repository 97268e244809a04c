//! Certificates for servers, good and bad.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// A certificate and its key, as PEM files.
pub struct Shown {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A CA whose certificate is in a file.
pub struct Authority {
    pub path: PathBuf,
    key: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Its certificate also names `localhost`, as `openssl req -x509` makes them for servers.
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let shown = write(folder, name, &params.self_signed(&key).unwrap().pem(), &key);
        Self { path: shown.certificate, key: shown.key, issuer: Issuer::new(params, key) }
    }

    /// The CA certificate itself, used by a server.
    pub fn itself(&self) -> Shown {
        Shown { certificate: self.path.clone(), key: self.key.clone() }
    }

    /// A certificate for a server of this name, which ends with this year.
    pub fn signed(&self, folder: &Path, name: &str, last_year: i32) -> Shown {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(last_year, 12, 31));
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        write(folder, &format!("{name}-{last_year}"), &pem, &key)
    }
}

fn write(folder: &Path, name: &str, pem: &str, key: &KeyPair) -> Shown {
    let (certificate, key_file) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    std::fs::write(&certificate, pem).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    Shown { certificate, key: key_file }
}

/// A self-signed certificate of a server in X.509 version 1.
pub fn version_1(folder: &Path) -> Shown {
    let key = KeyPair::generate().unwrap();
    let certificate = super::old_format::certificate(&key);
    write(folder, "version-1", &pem::encode(&pem::Pem::new("CERTIFICATE", certificate)), &key)
}
