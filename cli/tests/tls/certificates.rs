//! Certificates for servers, good and bad.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _, SigningKey as _,
    date_time_ymd,
};

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

/// A self-signed certificate in X.509 version 1, which knows no names of hosts. Old appliances have them, and no library
/// makes them any more.
pub fn version_1(folder: &Path) -> Shown {
    let key = KeyPair::generate().unwrap();
    let ecdsa_with_sha256 = der(0x30, &[b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"]);
    let common_name = der(0x30, &[b"\x06\x03\x55\x04\x03", &der(0x0c, &[b"localhost"])]);
    let name = der(0x30, &[&der(0x31, &[&common_name])]);
    let validity = der(0x30, &[&der(0x17, &[b"200101000000Z"]), &der(0x17, &[b"491231235959Z"])]);
    let public_key = key.subject_public_key_info();
    let body = der(0x30, &[b"\x02\x01\x01", &ecdsa_with_sha256, &name, &validity, &name, &public_key]);
    let signature = der(0x03, &[b"\0", &key.sign(&body).unwrap()]);
    let certificate = der(0x30, &[&body, &ecdsa_with_sha256, &signature]);
    write(folder, "version-1", &pem::encode(&pem::Pem::new("CERTIFICATE", certificate)), &key)
}

/// An element of DER with a length of less than 64 KiB.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut bytes = vec![tag];
    match length {
        [0, short] if short < 0x80 => bytes.push(short),
        [0, short] => bytes.extend([0x81, short]),
        long => bytes.extend([0x82, long[0], long[1]]),
    }
    bytes.extend(content);
    bytes
}
