use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend};

use super::{Connection, Store};

/// A pool of connections at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionPool {
    pub name: &'static str,
    pub in_use: u32,
    pub idle: u32,
    pub max: u32,
}

impl Store {
    /// The pools of connections as they are now. Nothing waits for it.
    pub fn connection_pools(&self) -> Vec<ConnectionPool> {
        let replica = self.read_replica.iter().map(|replica| ("replica", replica.connection()));
        let named = match self.readers.get_database_backend() {
            DbBackend::Sqlite => [("read", &self.readers), ("write", &self.writer)],
            // One pool reads and writes.
            _ => [("main", &self.writer), ("current", &self.current)],
        };
        named.into_iter().chain(replica).map(|(name, connection)| pool(name, connection)).collect()
    }
}

/// Whether whoever wants a connection has to wait for one.
pub(super) fn is_exhausted(connection: &DatabaseConnection) -> bool {
    let (open, idle, max) = state(connection);
    idle == 0 && open >= max
}

fn pool(name: &'static str, connection: &Connection) -> ConnectionPool {
    let (open, idle, max) = state(connection.inner());
    // Both numbers move while they are read.
    let idle = idle.min(open);
    ConnectionPool { name, in_use: open - idle, idle, max }
}

/// Open and idle connections of a pool, and the most that it may have.
fn state(connection: &DatabaseConnection) -> (u32, u32, u32) {
    macro_rules! state {
        ($pool:expr) => {
            ($pool.size(), $pool.num_idle(), $pool.options().get_max_connections())
        };
    }
    let (open, idle, max) = match connection.get_database_backend() {
        DbBackend::Sqlite => state!(connection.get_sqlite_connection_pool()),
        _ => state!(connection.get_mysql_connection_pool()),
    };
    (open, u32::try_from(idle).unwrap_or(u32::MAX), max)
}
