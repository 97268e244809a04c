use std::path::PathBuf;
use std::time::Duration;

use super::section::section;
use super::value::{Secret, Value};

section! {
    /// The database that several servers share.
    "mysql" Mysql {
        /// Host and port of MySQL 8 or MariaDB, such as db.example.com:3306. Empty: the embedded SQLite database.
        address: String = String::new(),
        /// tcp, or unix: then mysql.address is the path of the socket.
        protocol: String = "tcp".to_owned(),
        /// Name of the database.
        database: String = "fleet".to_owned(),
        /// User to log in as.
        username: String = "fleet".to_owned(),
        /// Password of the user.
        password: Secret = Secret::default(),
        /// File with the password of the user.
        password_path: Option<PathBuf> = None,
        /// Encrypt: true checks the server's certificate, skip-verify does not. Empty: custom with mysql.tls_ca, else off.
        tls_config: String = String::new(),
        /// CA certificates (PEM) that may vouch for the server, besides those the system trusts.
        tls_ca: Option<PathBuf> = None,
        /// Certificate (PEM) to show to the server.
        tls_cert: Option<PathBuf> = None,
        /// Private key (PEM) of mysql.tls_cert.
        tls_key: Option<PathBuf> = None,
        /// Name in the server's certificate; it must be the host in mysql.address.
        tls_server_name: String = String::new(),
        /// Connections at most; all servers together must stay below the database's own limit.
        max_open_conns: u32 = 50,
        /// When less than mysql.max_open_conns, connections close after one idle minute rather than ten.
        max_idle_conns: u32 = 50,
        /// Close connections at this age, in seconds or as a duration; 0 never does.
        conn_max_lifetime: Lifetime = Lifetime(Duration::ZERO),
    }
}

section! {
    /// Fleet reads from a replica where that may lag behind. Muster does not.
    "mysql_read_replica" MysqlReadReplica {
        /// Not supported yet: anything here stops the start. Readings go to mysql.address.
        address: String = String::new(),
    }
}

/// A duration that may also be a number of seconds, as Fleet writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(pub Duration);

impl Value for Lifetime {
    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seconds) => Ok(Self(Duration::from_secs(seconds))),
            Err(_) => Duration::read(text).map(Self),
        }
    }
    fn show(&self) -> String {
        self.0.show()
    }
}

/// Where the database listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Tcp { host: String, port: u16 },
    Socket(PathBuf),
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MysqlTls {
    Off,
    /// Encrypted, to whoever answers.
    Unverified,
    Verified,
}

impl Mysql {
    /// Whether this database is used rather than the embedded one.
    pub fn is_on(&self) -> bool {
        !self.address.is_empty()
    }

    /// # Errors
    /// What is wrong with the address.
    pub fn endpoint(&self) -> Result<Endpoint, String> {
        if self.protocol == "unix" {
            return Ok(Endpoint::Socket(PathBuf::from(&self.address)));
        }
        let wrong = || format!("mysql.address: expects a host and a port such as db:3306, not {:?}", self.address);
        let (host, port) = match self.address.rsplit_once(':') {
            // An IPv6 address without brackets has colons of its own.
            Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            None => (self.address.as_str(), 3306),
            Some(_) => return Err(wrong()),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() { Err(wrong()) } else { Ok(Endpoint::Tcp { host: host.to_owned(), port }) }
    }

    pub fn tls(&self) -> MysqlTls {
        match self.tls_config.as_str() {
            "skip-verify" => MysqlTls::Unverified,
            "true" | "custom" => MysqlTls::Verified,
            _ if self.tls_ca.is_some() => MysqlTls::Verified,
            _ => MysqlTls::Off,
        }
    }

    /// The password, from its file if that is where it stands.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub fn password(&self) -> Result<Secret, String> {
        let Some(path) = &self.password_path else { return Ok(self.password.clone()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("mysql.password_path: {} cannot be read: {error}", path.display()))?;
        Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
    }

    pub(super) fn contradictions(&self) -> Vec<String> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut problems: Vec<String> = [self.endpoint().err(), self.password().err()].into_iter().flatten().collect();
        if !["tcp", "unix"].contains(&self.protocol.as_str()) {
            problems.push("mysql.protocol: expects tcp or unix".to_owned());
        }
        if !["", "false", "true", "custom", "skip-verify"].contains(&self.tls_config.as_str()) {
            problems.push("mysql.tls_config: expects true, custom, skip-verify or nothing".to_owned());
        }
        if self.tls_config == "custom" && self.tls_ca.is_none() {
            problems.push("mysql.tls_config: custom needs mysql.tls_ca".to_owned());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            problems.push("mysql.tls_cert and mysql.tls_key belong together: set both or neither".to_owned());
        }
        if self.tls() == MysqlTls::Off && (self.tls_cert.is_some() || self.tls_ca.is_some()) {
            problems.push("mysql.tls_config: set it to true or custom, or remove the certificates".to_owned());
        }
        if self.password_path.is_some() && !self.password.reveal().is_empty() {
            problems.push("mysql.password and mysql.password_path exclude each other: set one".to_owned());
        }
        if self.max_open_conns == 0 {
            problems.push("mysql.max_open_conns: expects at least 1".to_owned());
        }
        let named = |host: &str| self.tls_server_name.is_empty() || self.tls_server_name == host;
        if matches!(self.endpoint(), Ok(Endpoint::Tcp { host, .. }) if !named(&host)) {
            problems.push(
                "mysql.tls_server_name: another name than the host in mysql.address is not supported; put the name \
                 of the certificate into mysql.address"
                    .to_owned(),
            );
        }
        problems
    }
}

impl MysqlReadReplica {
    pub(super) fn contradictions(&self) -> Vec<String> {
        if self.address.is_empty() {
            return Vec::new();
        }
        vec!["mysql_read_replica.address: reading from a replica is not supported yet; remove the section".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Mysql {
        Mysql { address: address.to_owned(), ..Mysql::default() }
    }

    #[test]
    fn addresses_are_hosts_with_ports() {
        let tcp = |host: &str, port| Ok(Endpoint::Tcp { host: host.to_owned(), port });
        assert_eq!(at("db:3307").endpoint(), tcp("db", 3307));
        assert_eq!(at("db").endpoint(), tcp("db", 3306));
        assert_eq!(at("[::1]:3306").endpoint(), tcp("::1", 3306));
        for wrong in [":3306", "db:many", "::1"] {
            assert!(at(wrong).endpoint().is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_contradictions_are_told_together() {
        let wrong = Mysql {
            protocol: "pigeon".to_owned(),
            tls_config: "perhaps".to_owned(),
            tls_key: Some(PathBuf::from("key.pem")),
            tls_server_name: "other".to_owned(),
            password: Secret::new("hunter2"),
            password_path: Some(PathBuf::from("no/such/file")),
            max_open_conns: 0,
            ..at("db")
        };
        let problems = wrong.contradictions();
        assert_eq!(problems.len(), 7, "{problems:#?}");
        assert!(!format!("{problems:?} {wrong:?}").contains("hunter2"));
        assert_eq!(at("db").contradictions(), Vec::<String>::new());
    }

    #[test]
    fn a_password_is_read_from_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from the file\n").unwrap();
        let config = Mysql { password_path: Some(file.path().to_owned()), ..at("db") };
        assert_eq!(config.password().unwrap().reveal(), "from the file");
    }
}
