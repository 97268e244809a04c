//! `fleetctl debug` against real servers.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod archive;
mod archive_file;
mod connection;
#[path = "../console/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod console;
#[path = "../fleetctl/mod.rs"]
mod fleetctl;
#[path = "../../../server/tests/it/support/mariadb.rs"]
#[expect(dead_code, reason = "the tests of the server use the rest")]
mod mariadb;
mod nodes;
mod open;
mod own_server;
#[path = "../../../server/tests/it/support/redis.rs"]
#[expect(dead_code, reason = "the tests of the server use the rest")]
mod redis;
mod single;
