//! Certificates of X.509 version 1. Old appliances have them, and no library makes them any more.

use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};

/// A self-signed certificate, which knows no names of hosts.
pub fn certificate(key: &KeyPair) -> Vec<u8> {
    let ecdsa_with_sha256 = der(0x30, &[b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"]);
    let common_name = der(0x30, &[b"\x06\x03\x55\x04\x03", &der(0x0c, &[b"localhost"])]);
    let name = der(0x30, &[&der(0x31, &[&common_name])]);
    let validity = der(0x30, &[&der(0x17, &[b"200101000000Z"]), &der(0x17, &[b"491231235959Z"])]);
    let public_key = key.subject_public_key_info();
    let body = der(0x30, &[b"\x02\x01\x01", &ecdsa_with_sha256, &name, &validity, &name, &public_key]);
    let signature = der(0x03, &[b"\0", &key.sign(&body).unwrap()]);
    der(0x30, &[&body, &ecdsa_with_sha256, &signature])
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
