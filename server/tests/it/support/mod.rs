//! What the tests are written with. Everything a test starts or makes goes away with it.

mod agents;
mod browser;
mod clock_off;
mod database;
mod lines;
mod load;
pub mod mariadb;
mod process;
mod proxy;
mod raw;
#[expect(dead_code, reason = "the tests of the bus, inside the server, use the rest")]
mod redis;
mod rest;
mod s3;
mod server;
mod shared_redis;
mod size;
mod visitor;
mod wait;

pub use agents::{AGENT_ENDPOINTS, Address, ENROLL_SECRET, assert_refused, log_body, object};
pub use browser::Browser;
pub use database::{Database, on_empty_mariadb, on_mariadb};
pub use lines::{KeptLines, Ledger};
pub use load::{Load, Report, deliver_all};
pub use process::{ServerProcess, ServerSetup, free_port};
pub use proxy::{Passage, Proxy};
pub use raw::Raw;
pub use redis::{ClusterRedis, RedisProcess, make_certificates};
pub use rest::{Answer, PASSWORD, Rest};
pub use s3::S3Store;
pub use server::TestServer;
pub use shared_redis::{on_redis, skipped_with_redis};
pub use size::count;
pub use visitor::{Visitor, cookie_name, token};
pub use wait::{eventually, eventually_ok};
