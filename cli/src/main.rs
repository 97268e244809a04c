//! The command line of Muster.

mod args;
mod commands;
mod contexts;
mod files;
mod foreign;
mod output;
mod private_file;
mod rest;
mod run;
mod table;

use muster_api::documents;

fn main() -> std::process::ExitCode {
    run::run(std::env::args_os())
}
