//! What `/debug` answers in JSON. A client may meet older servers, so what is newer than the first version has a default.

mod database;
mod redis;

pub use database::{DbLock, DbPool, DbProcess, DbSettings, DbStatement, DbTable};
pub use redis::{
    RedisKeyKind, RedisKeys, RedisLiveKeys, RedisNodeKeys, RedisNodeSlowLog, RedisSlowCommand, RedisSlowLog,
};
