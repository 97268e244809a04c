use std::path::PathBuf;
use std::time::Duration;

use super::section::{ConfigKey, section};
use super::value::{ConfigValue, Secret, without_password};

section! {
    /// The database shared by several nodes.
    "mysql" Mysql {
        /// Host and port of MySQL 8 or MariaDB, such as db.example.com:3306. Empty: use the embedded SQLite database.
        address: String = String::new(),
        /// Protocol: tcp, or unix if the address is the path of a socket.
        protocol: String = "tcp".to_owned(),
        /// Name of the database.
        database: String = "fleet".to_owned(),
        /// User name.
        username: String = "fleet".to_owned(),
        /// Password of the user.
        password: Secret = Secret::default(),
        /// File that contains the password.
        password_path: Option<PathBuf> = None,
        /// TLS mode: true or custom (verify the certificate), skip-verify (encrypt without checking who answers) or false. Empty: custom if tls_ca is set, otherwise false.
        tls_config: String = String::new(),
        /// CA certificates (PEM) to trust, or the certificate of the database itself. Empty: trust the CAs of the system.
        tls_ca: Option<PathBuf> = None,
        /// Client certificate (PEM).
        tls_cert: Option<PathBuf> = None,
        /// Private key (PEM) of tls_cert.
        tls_key: Option<PathBuf> = None,
        /// Name in the certificate of the database, if it is not the host in the address.
        tls_server_name: String = String::new(),
        /// Maximum number of connections; the sum over all nodes must stay below the limit of the database.
        max_open_conns: u32 = 50,
        /// If lower than max_open_conns, idle connections close after one minute instead of ten.
        max_idle_conns: u32 = 50,
        /// Maximum age of a connection, in seconds or as a duration; 0 means unlimited.
        conn_max_lifetime: Lifetime = Lifetime(Duration::ZERO),
    }
}

/// A read replica of that database, with the same keys, for reads that may lag by some seconds.
#[derive(Debug, Clone, Default)]
pub struct MysqlReadReplica(pub Mysql);

/// A duration that may also be written as a number of seconds, as in Fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(pub Duration);

impl ConfigValue for Lifetime {
    const VALUE_NAME: &str = "DURATION";
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
pub enum MysqlEndpoint {
    Tcp { host: String, port: u16 },
    Socket(PathBuf),
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MysqlTls {
    Off,
    /// Encrypted, but the certificate is not verified.
    Unverified,
    Verified,
}

impl Mysql {
    /// Whether this database is used rather than the embedded one.
    pub fn is_on(&self) -> bool {
        !self.address.is_empty()
    }

    /// # Errors
    /// If the address is not valid; the text begins with the key.
    pub fn endpoint(&self) -> Result<MysqlEndpoint, String> {
        if self.protocol == "unix" {
            return Ok(MysqlEndpoint::Socket(PathBuf::from(&self.address)));
        }
        let wrong =
            || format!("address: expects a host and a port such as db:3306, not {:?}", without_password(&self.address));
        let (host, port) = match self.address.rsplit_once(':') {
            // An IPv6 address without brackets has colons of its own.
            Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            None => (self.address.as_str(), 3306),
            Some(_) => return Err(wrong()),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() { Err(wrong()) } else { Ok(MysqlEndpoint::Tcp { host: host.to_owned(), port }) }
    }

    pub fn tls(&self) -> MysqlTls {
        match self.tls_config.as_str() {
            "skip-verify" => MysqlTls::Unverified,
            "true" | "custom" => MysqlTls::Verified,
            _ if self.tls_ca.is_some() => MysqlTls::Verified,
            _ => MysqlTls::Off,
        }
    }

    /// The password, read from `password_path` if that is set.
    ///
    /// # Errors
    /// If the file cannot be read; the text begins with the key.
    pub fn password(&self) -> Result<Secret, String> {
        let Some(path) = &self.password_path else { return Ok(self.password.clone()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("password_path: {} cannot be read: {error}", path.display()))?;
        Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
    }

    /// Problems with the values; each begins with the dotted key.
    pub(super) fn contradictions(&self, section: &str) -> Vec<String> {
        if !self.is_on() {
            return Vec::new();
        }
        let mut problems: Vec<String> = [self.endpoint().err(), self.password().err()].into_iter().flatten().collect();
        let mut refuse = |is_wrong: bool, problem: &str| {
            if is_wrong {
                problems.push(problem.to_owned());
            }
        };
        let is_one_of = |words: &[&str], word: &str| words.contains(&word);
        let is_off = self.tls() == MysqlTls::Off;
        refuse(!is_one_of(&["tcp", "unix"], &self.protocol), "protocol: expects tcp or unix");
        refuse(
            !is_one_of(&["", "false", "true", "custom", "skip-verify"], &self.tls_config),
            "tls_config: expects true, custom, skip-verify or nothing",
        );
        refuse(self.tls_config == "custom" && self.tls_ca.is_none(), "tls_config: custom needs tls_ca");
        refuse(
            self.tls_cert.is_some() != self.tls_key.is_some(),
            "tls_cert: set both tls_cert and tls_key, or neither",
        );
        refuse(
            is_off && (self.tls_cert.is_some() || self.tls_ca.is_some() || !self.tls_server_name.is_empty()),
            "tls_config: set it to true or custom, or remove tls_ca, tls_cert, tls_key and tls_server_name",
        );
        refuse(
            self.password_path.is_some() && !self.password.reveal().is_empty(),
            "password: set either password or password_path, not both",
        );
        refuse(self.max_open_conns == 0, "max_open_conns: expects at least 1");
        problems.into_iter().map(|problem| format!("{section}.{problem}")).collect()
    }
}

impl MysqlReadReplica {
    pub const NAME: &str = "mysql_read_replica";

    pub(super) fn keys() -> Vec<ConfigKey> {
        let of_replica = |key: ConfigKey| match key.name {
            "address" => ConfigKey {
                section: Self::NAME,
                help: "Host and port of a read replica for the rows of lists of hosts, which may lag by some seconds. Empty: use mysql.address.",
                ..key
            },
            _ => ConfigKey { section: Self::NAME, ..key },
        };
        Mysql::keys().into_iter().map(of_replica).collect()
    }

    pub(super) fn shown(&self) -> Vec<String> {
        self.0.shown()
    }

    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        self.0.set(name, text)
    }

    pub(super) fn contradictions(&self, mysql: &Mysql) -> Vec<String> {
        let mut problems = self.0.contradictions(Self::NAME);
        if self.0.is_on() && !mysql.is_on() {
            problems.push(format!("{}.address: requires mysql.address", Self::NAME));
        }
        problems
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
        let tcp = |host: &str, port| Ok(MysqlEndpoint::Tcp { host: host.to_owned(), port });
        assert_eq!(at("db:3307").endpoint(), tcp("db", 3307));
        assert_eq!(at("db").endpoint(), tcp("db", 3306));
        assert_eq!(at("[::1]:3306").endpoint(), tcp("::1", 3306));
        for wrong in [":3306", "db:many", "::1"] {
            assert!(at(wrong).endpoint().is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_contradictions_are_reported_together() {
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
        let problems = wrong.contradictions("mysql");
        assert_eq!(problems.len(), 7, "{problems:#?}");
        assert!(!format!("{problems:?} {wrong:?}").contains("hunter2"));
        assert!(problems.iter().all(|problem| problem.starts_with("mysql.")), "{problems:#?}");
        assert_eq!(at("db").contradictions("mysql"), Vec::<String>::new());
    }

    #[test]
    fn a_replica_has_the_same_keys_and_requires_a_primary() {
        let mut replica = MysqlReadReplica::default();
        for key in MysqlReadReplica::keys() {
            assert!(Mysql::default().set(key.name, &key.default).is_ok() && key.section == "mysql_read_replica");
        }
        assert_eq!(replica.contradictions(&at("db")), Vec::<String>::new());
        replica.set("address", "copy:many").unwrap();
        assert_eq!(replica.contradictions(&Mysql::default()).len(), 2);
        replica.set("address", "copy:3307").unwrap();
        assert_eq!(replica.contradictions(&at("db")), Vec::<String>::new());
    }

    #[test]
    fn a_password_is_read_from_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from the file\n").unwrap();
        let config = Mysql { password_path: Some(file.path().to_owned()), ..at("db") };
        assert_eq!(config.password().unwrap().reveal(), "from the file");
    }
}
