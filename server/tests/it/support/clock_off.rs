//! Wall clocks of servers that are off.

use std::path::PathBuf;
use std::process::Command;

/// A library that sets the wall clock of a program off by so many seconds, once it is preloaded.
///
/// Not libfaketime: it allocates while it looks for the real clock, and jemalloc asks for the time when it allocates for the first
/// time, so that a server never gets as far as its own code.
pub fn clock_off(seconds: i64) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/clock_off.c");
    let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("clock_off{seconds:+}.so"));
    // Another test process may be loading it.
    let new = library.with_extension(format!("{}.new", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&new).args([&format!("-DOFF={seconds}"), source]);
    assert!(compiler.status().unwrap().success());
    std::fs::rename(&new, &library).unwrap();
    library
}
