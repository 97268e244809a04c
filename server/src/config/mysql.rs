use std::path::PathBuf;
use std::time::Duration;

use super::section::{ConfigKey, section};
use super::value::{ConfigValue, Secret};

section! {
    /// The database that several servers share.
    "mysql" Mysql {
        /// Host and port of MySQL 8 or MariaDB, such as db.example.com:3306. Empty: the embedded SQLite database.
        address: String = String::new(),
        /// tcp, or unix: then the address is the path of the socket.
        protocol: String = "tcp".to_owned(),
        /// Name of the database.
        database: String = "fleet".to_owned(),
        /// User to log in as.
        username: String = "fleet".to_owned(),
        /// Password of the user.
        password: Secret = Secret::default(),
        /// File with the password of the user.
        password_path: Option<PathBuf> = None,
        /// Encrypt: true checks the server's certificate, skip-verify does not. Empty: custom with tls_ca, else off.
        tls_config: String = String::new(),
        /// CA certificates (PEM) that may vouch for the server, besides those the system trusts.
        tls_ca: Option<PathBuf> = None,
        /// Certificate (PEM) to show to the server.
        tls_cert: Option<PathBuf> = None,
        /// Private key (PEM) of tls_cert.
        tls_key: Option<PathBuf> = None,
        /// Name in the server's certificate; it must be the host in the address.
        tls_server_name: String = String::new(),
        /// Connections at most; all servers together must stay below the database's own limit.
        max_open_conns: u32 = 50,
        /// When less than max_open_conns, connections close after one idle minute rather than ten.
        max_idle_conns: u32 = 50,
        /// Close connections at this age, in seconds or as a duration; 0 never does.
        conn_max_lifetime: Lifetime = Lifetime(Duration::ZERO),
    }
}

/// A replica of that database, with the same keys, for readings that may show how things were some seconds ago.
#[derive(Debug, Clone, Default)]
pub struct MysqlReadReplica(pub Mysql);

/// A duration that may also be a number of seconds, as Fleet writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(pub Duration);

impl ConfigValue for Lifetime {
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
    /// What is wrong with the address, beginning with the key.
    pub fn endpoint(&self) -> Result<MysqlEndpoint, String> {
        if self.protocol == "unix" {
            return Ok(MysqlEndpoint::Socket(PathBuf::from(&self.address)));
        }
        let wrong = || format!("address: expects a host and a port such as db:3306, not {:?}", self.address);
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

    /// The password, from its file if that is where it stands.
    ///
    /// # Errors
    /// Why the file cannot be read, beginning with the key.
    pub fn password(&self) -> Result<Secret, String> {
        let Some(path) = &self.password_path else { return Ok(self.password.clone()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("password_path: {} cannot be read: {error}", path.display()))?;
        Ok(Secret::new(text.trim_end_matches(['\n', '\r'])))
    }

    /// Each with the key in front, as it stands in this section.
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
            "tls_cert: it and tls_key belong together: set both or neither",
        );
        refuse(
            is_off && (self.tls_cert.is_some() || self.tls_ca.is_some()),
            "tls_config: set it to true or custom, or remove the certificates",
        );
        refuse(
            self.password_path.is_some() && !self.password.reveal().is_empty(),
            "password: it and password_path exclude each other: set one",
        );
        refuse(self.max_open_conns == 0, "max_open_conns: expects at least 1");
        let is_named = |host: &str| self.tls_server_name.is_empty() || self.tls_server_name == host;
        refuse(
            matches!(self.endpoint(), Ok(MysqlEndpoint::Tcp { host, .. }) if !is_named(&host)),
            "tls_server_name: another name than the host in the address is not supported; put the name of the \
             certificate into the address",
        );
        problems.into_iter().map(|problem| format!("{section}.{problem}")).collect()
    }
}

impl MysqlReadReplica {
    pub(super) const NAME: &str = "mysql_read_replica";

    pub(super) fn keys() -> Vec<ConfigKey> {
        let of_replica = |key: ConfigKey| match key.name {
            "address" => ConfigKey {
                section: Self::NAME,
                help: "Host and port of a replica: lists of hosts and the sizes of labels are read there, and may be some seconds old. Empty: from mysql.address.",
                ..key
            },
            _ => ConfigKey { section: Self::NAME, ..key },
        };
        Mysql::keys().into_iter().map(of_replica).collect()
    }

    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        self.0.set(name, text)
    }

    pub(super) fn contradictions(&self, mysql: &Mysql) -> Vec<String> {
        let mut problems = self.0.contradictions(Self::NAME);
        if self.0.is_on() && !mysql.is_on() {
            problems.push(format!("{}.address: needs mysql.address, of which it is a replica", Self::NAME));
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
        let problems = wrong.contradictions("mysql");
        assert_eq!(problems.len(), 7, "{problems:#?}");
        assert!(!format!("{problems:?} {wrong:?}").contains("hunter2"));
        assert!(problems.iter().all(|problem| problem.starts_with("mysql.")), "{problems:#?}");
        assert_eq!(at("db").contradictions("mysql"), Vec::<String>::new());
    }

    #[test]
    fn a_replica_has_the_same_keys_and_needs_what_it_is_one_of() {
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
