//! The database that an import reads, as operators write it at the command line.

use percent_encoding::percent_decode_str;

use super::mysql::Mysql;
use super::value::Secret;

const SHAPE: &str = "expects mysql://USER@HOST:PORT/DATABASE, with ?tls=true or ?tls=skip-verify behind it for TLS";

/// Reads `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?tls=true|skip-verify|false]`. Characters that mean something there
/// are written as `%40`.
///
/// # Errors
/// What is wrong with it. The text has nothing of the address, which may hold a password.
pub fn import_source(url: &str) -> Result<Mysql, String> {
    let rest = url.strip_prefix("mysql://").ok_or(SHAPE)?;
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (path, database) = path.rsplit_once('/').ok_or(SHAPE)?;
    let (user, address) = path.rsplit_once('@').ok_or(SHAPE)?;
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    if username.is_empty() || address.is_empty() || database.is_empty() {
        return Err(SHAPE.to_owned());
    }
    let plain = |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| SHAPE.to_owned());
    let mut source = Mysql {
        address: address.to_owned(),
        username: plain(username)?,
        password: Secret::new(&plain(password)?),
        database: plain(database)?,
        ..Mysql::default()
    };
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("tls", mode @ ("true" | "skip-verify" | "false"))) => mode.clone_into(&mut source.tls_config),
            Some(("tls", _)) => return Err("tls: expects true, skip-verify or false".to_owned()),
            _ => {
                return Err(format!(
                    "unknown parameter {:?}; known is tls",
                    parameter.split('=').next().unwrap_or_default()
                ));
            }
        }
    }
    let endpoint = source.endpoint().map(drop);
    endpoint.map_err(|_| "address: expects a host and a port such as db:3306".to_owned())?;
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_user_server_and_database() {
        let source = import_source("mysql://fleet:p%40ss@db.example.com:3307/fl%20eet?tls=skip-verify").unwrap();
        let read =
            (&*source.username, source.password.reveal(), &*source.address, &*source.database, &*source.tls_config);
        assert_eq!(read, ("fleet", "p@ss", "db.example.com:3307", "fl eet", "skip-verify"));
        assert_eq!(import_source("mysql://fleet@db/fleet").unwrap().password.reveal(), "");
        for wrong in [
            "fleet@db/fleet",
            "mysql://db/fleet",
            "mysql://fleet:not-a-secret@db",
            "mysql://fleet:not-a-secret@db:many/fleet",
            "mysql://fleet:not-a-secret@db/fleet?ssl=1",
            "mysql://fleet:not-a-secret@db/fleet?tls=perhaps",
        ] {
            let error = import_source(wrong).unwrap_err();
            assert!(!error.contains("not-a-secret"), "{wrong}: {error}");
        }
    }
}
