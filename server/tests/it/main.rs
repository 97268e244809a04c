//! The server as agents, operators and the operating system meet it: started whole, on a port of its own, with a
//! database and log files in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod agent_config;
mod bad_input;
mod carves;
mod chaos;
mod checkin;
mod crash;
mod crowd;
mod database_access;
mod debug;
mod disk_full;
mod doctor;
mod documents;
mod enrollment;
mod guard;
mod heavy;
mod import;
mod lifecycle;
mod live;
mod live_nodes;
mod locked_store;
mod metrics;
mod nodes;
mod operators;
mod ops;
mod pages;
mod proxies;
mod read_replica;
mod replays;
mod rest;
mod second_process;
mod shared_database;
mod shared_logs;
mod support;
