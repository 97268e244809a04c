//! The directory and the child process of `fleetctl preview`, with scripts in place of the server.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod fleetctl;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use fleetctl::{Fleetctl, Run};

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A shell script in place of the server.
fn server(fleetctl: &Fleetctl, script: &str) {
    fleetctl.write("muster", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(fleetctl.path().join("muster"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn preview(fleetctl: &Fleetctl, port: &str) -> Command {
    let mut command = fleetctl.command(&["preview", "--muster", "./muster", "--port", port]);
    command.env("PATH", "/usr/bin:/bin");
    command
}

#[test]
fn a_server_that_ends_is_quoted() {
    let fleetctl = Fleetctl::new();
    server(&fleetctl, "echo 'the database is too new'; exit 7");
    let run = Run::from(preview(&fleetctl, &free_port()).output().unwrap());
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("Error: the server stopped unexpectedly (exit status: 7)"), "{run:?}");
    assert!(run.stderr.contains("preview/muster.log:\n  the database is too new\n"), "{run:?}");
}

#[test]
fn a_signal_stops_the_server_gracefully() {
    let fleetctl = Fleetctl::new();
    server(&fleetctl, "echo \"$@\" > arguments\ncat > /dev/null\necho drained > drained");
    let port = free_port();
    let mut child =
        preview(&fleetctl, &port).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "    waiting for the server\n");

    let again = fleetctl.run(&["preview", "--muster", "./muster"]);
    let running = format!("Error: a preview is already running in preview (process {})", child.id());
    assert!(again.stderr.starts_with(&running), "{again:?}");
    let reset = fleetctl.run(&["preview", "reset"]);
    assert!(reset.stderr.starts_with(&running), "{reset:?}");

    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert_eq!(rest, "The preview has stopped; run fleetctl preview again to resume it.\n");
    assert!(fleetctl.path().join("drained").exists());
    let arguments = fs::read_to_string(fleetctl.path().join("arguments")).unwrap();
    assert!(
        arguments
            .starts_with(&format!("serve --server_address=127.0.0.1:{port} --server_operator_address= --sqlite_path ")),
        "{arguments}"
    );
    assert!(arguments.ends_with(" --until-stdin-closes\n"), "{arguments}");

    let reset = fleetctl.run(&["preview", "reset"]);
    assert_eq!((reset.code, reset.stdout.as_str()), (Some(0), "deleted preview\n"), "{reset:?}");
}

#[test]
fn a_port_in_use_and_a_missing_server_name_their_flags() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["preview", "--muster", "./muster"]);
    assert_eq!(run.stderr, "Error: no server executable at ./muster; set its path with --muster FILE\n");
    server(&fleetctl, "exit 0");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = Run::from(preview(&fleetctl, &taken.local_addr().unwrap().port().to_string()).output().unwrap());
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.ends_with("choose another with --port\n"), "{run:?}");
}

#[test]
fn reset_keeps_foreign_files() {
    let fleetctl = Fleetctl::new();
    fs::create_dir(fleetctl.path().join("other")).unwrap();
    fleetctl.write("other/letter.txt", "dear");
    let run = fleetctl.run(&["preview", "reset", "--dir", "other"]);
    assert_eq!(run.stderr, "Error: other is not a preview directory; nothing was deleted\n");
    assert!(fleetctl.path().join("other/letter.txt").exists());
}
