//! SQL functions that osquery adds.

use std::fmt::Write as _;

use rusqlite::{Connection, Error, functions::FunctionFlags};
use sha1::Digest as _;

pub(in crate::tables) fn register(connection: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("split", 3, flags, |call| {
        let (text, separators): (String, String) = (call.get(0)?, call.get(1)?);
        let at: i64 = call.get(2)?;
        let part = usize::try_from(at).ok().and_then(|at| {
            text.split(|letter| separators.contains(letter)).filter(|part| !part.is_empty()).nth(at).map(str::to_owned)
        });
        Ok(part)
    })?;
    connection.create_scalar_function("inet_aton", 1, flags, |call| {
        let text: String = call.get(0)?;
        Ok(text.parse::<std::net::Ipv4Addr>().ok().map(|address| i64::from(u32::from(address))))
    })?;
    connection.create_scalar_function("sha1", 1, flags, |call| {
        let text: String = call.get(0)?;
        Ok(hex(&sha1::Sha1::digest(text.as_bytes())))
    })?;
    connection.create_scalar_function("sha256", 1, flags, |call| {
        let text: String = call.get(0)?;
        Ok(hex(&sha2::Sha256::digest(text.as_bytes())))
    })?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
