//! Databases of Fleet on a MariaDB of their own, read by a user who may do nothing else.

use std::process::Command;
use std::sync::OnceLock;

use agent_compat::TestAgent;
use muster::ImportWish;
use muster::config::{Config, Mysql, Secret};
use serde_json::Value;

use crate::support::mariadb::{DatabaseAddress, Mariadb};
use crate::support::{Database, TestServer};

pub const VERSIONS: [Version; 3] = [
    Version { name: "Fleet 4.6x", schema: include_str!("fleet_4_6x.sql") },
    Version { name: "Fleet 4.2x", schema: include_str!("fleet_4_2x.sql") },
    Version { name: "kolide 3.x", schema: include_str!("kolide_3x.sql") },
];

/// A version of Fleet.
#[derive(Clone, Copy)]
pub struct Version {
    pub name: &'static str,
    pub schema: &'static str,
}

impl Version {
    fn is_old(self) -> bool {
        self.schema.contains("host_name varchar")
    }
}

/// A database of Fleet.
pub struct FleetDatabase {
    version: Version,
    admin: DatabaseAddress,
    pub name: String,
}

fn server() -> &'static Mariadb {
    static SERVER: OnceLock<Mariadb> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Mariadb::start(&[]);
        server.admin().execute("CREATE USER reader@'%' IDENTIFIED BY 'not-a-password'").unwrap();
        server
    })
}

/// The identity and the key of a host in Fleet.
pub fn key_of(index: u32) -> String {
    format!("key+of/host/{index:020}=")
}

impl FleetDatabase {
    pub fn new(version: Version) -> Self {
        let admin = server().admin();
        let name = admin.new_database();
        let fleet = Self { version, admin, name };
        fleet.execute(fleet.version.schema);
        fleet.admin.execute(&format!("GRANT SELECT ON {}.* TO reader@'%'", fleet.name)).unwrap();
        fleet
    }

    /// Runs statements.
    pub fn execute(&self, sql: &str) {
        self.admin.execute(&format!("USE {}; {sql}", self.name)).unwrap();
    }

    /// As whoever imports reads it.
    pub fn source(&self) -> Mysql {
        Mysql {
            address: self.admin.address.clone(),
            username: "reader".to_owned(),
            password: Secret::new("not-a-password"),
            database: self.name.clone(),
            ..Mysql::default()
        }
    }

    /// The word for `--from`, without the password.
    pub fn url(&self) -> String {
        format!("mysql://reader@{}/{}", self.admin.address, self.name)
    }

    /// All that is in it.
    pub fn dump(&self) -> String {
        let (host, port) = self.admin.address.split_once(':').unwrap();
        let output = Command::new("mariadb-dump")
            .args(["--no-defaults", "--skip-dump-date", "-h", host, "-P", port, "-u", &self.admin.username, &self.name])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Adds an agent's host, as it has enrolled there at noon of the day before the server's clock begins.
    pub fn add(&self, id: i64, agent: &TestAgent, key: &str) {
        let identity = agent.agent().identity();
        let [hostname, memory, details, labels, enrolled] = match self.version.is_old() {
            true => ["host_name", "physical_memory", "detail_update_time", "label_update_time", "last_enroll_time"],
            false => ["hostname", "memory", "detail_updated_at", "label_updated_at", "last_enrolled_at"],
        };
        let (seen_column, seen) = if self.version.schema.contains("host_seen_times") {
            let seen =
                format!("INSERT INTO host_seen_times (host_id, seen_time) VALUES ({id}, '2026-01-15 11:59:00');");
            (String::new(), seen)
        } else {
            ("seen_time = '2026-01-15 11:59:00', ".to_owned(), String::new())
        };
        self.execute(&format!(
            "SET time_zone = '+00:00'; \
             INSERT INTO hosts SET id = {id}, osquery_host_id = '{}', node_key = '{key}', {hostname} = '{}', uuid = '{}', \
             computer_name = '{}', platform = 'ubuntu', os_version = 'Ubuntu 22.4.0', osquery_version = '5.22.1', \
             hardware_serial = 'serial {id}', {memory} = 8589934592, uptime = 7000000000, distributed_interval = 7, \
             {seen_column} created_at = '2026-01-14 12:00:00', {details} = '2026-01-15 11:40:00', \
             {labels} = '2026-01-15 11:40:00', {enrolled} = '2026-01-14 12:00:00'; \
             INSERT INTO label_membership (host_id, label_id) VALUES ({id}, 6); {seen}",
            identity.host_identifier, identity.fqdn, identity.uuid, identity.computer_name
        ));
    }

    /// Puts a host into a label.
    pub fn label(&self, label_id: i64, host_id: i64) {
        self.execute(&format!("INSERT INTO label_membership (host_id, label_id) VALUES ({host_id}, {label_id})"));
    }

    /// Imports into a server beside which it runs, and gives the report.
    pub async fn import(&self, server: &TestServer, wish: ImportWish) -> Value {
        self.try_import(server.config(), server, wish).await.unwrap()
    }

    pub async fn try_import(&self, config: &Config, server: &TestServer, wish: ImportWish) -> anyhow::Result<Value> {
        let report = muster::import_fleet(config, server.clock.clone(), &self.source(), wish, |_| {}).await?;
        assert!(!report.to_string().is_empty());
        Ok(serde_json::to_value(report).unwrap())
    }
}

/// Rows of every table that an import may write.
pub fn counts(database: &Database) -> Vec<(&'static str, i64)> {
    let tables = [
        "hosts",
        "node_keys",
        "label_members",
        "labels",
        "packs",
        "queries",
        "scheduled_queries",
        "enroll_secrets",
        "users",
        "activities",
        "object_changes",
        "host_changes",
        "settings",
        "user_passwords",
    ];
    tables.map(|table| (table, database.number(&format!("SELECT count(*) FROM {table}")))).to_vec()
}
