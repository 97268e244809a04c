//! The built program without a server.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod fleetctl;

use std::fs;
use std::process::Stdio;

use fleetctl::Fleetctl;

#[test]
fn the_version_is_printed() {
    let run = Fleetctl::new().run(&["--version"]);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stdout, format!("fleetctl - version {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn unknown_commands_exit_with_3_and_other_mistakes_with_1() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["aply"]);
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.starts_with("Error: unrecognized subcommand 'aply'"), "{run:?}");
    assert!(run.stderr.contains("'apply'"), "{run:?}");
    let run = fleetctl.run(&["get", "queries", "--yml"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("Error: unexpected argument '--yml'"), "{run:?}");
}

#[test]
fn help_goes_to_standard_output_without_secrets() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&[]);
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.contains("Usage: fleetctl"), "{run:?}");
    let output = fleetctl.command(&["login", "--help"]).env("PASSWORD", "hunter2").output().unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("hunter2"));
}

#[test]
fn contexts_are_set_and_shown() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["config", "set", "--address", "https://fleet.example.com/", "--token", "hush"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        run.stdout,
        "[+] Context \"default\" not found, creating it with default values\n\
         [+] Set the address config key to \"https://fleet.example.com\" in the \"default\" context\n\
         [+] Set the token config key to \"********\" in the \"default\" context\n"
    );
    let run = fleetctl.run(&["config", "get", "address"]);
    assert_eq!(run.stdout, "  default.address => https://fleet.example.com\n");
    assert!(fleetctl.path().join(".fleet/config").is_file());
}

#[test]
fn global_flags_stand_before_or_after_the_command() {
    let fleetctl = Fleetctl::new();
    for args in [
        ["--config", "c.yml", "--context", "x", "config", "set", "--email", "a@b.c"],
        ["config", "set", "--email", "a@b.c", "--config", "c.yml", "--context", "x"],
    ] {
        assert_eq!(fleetctl.run(&args).code, Some(0));
        assert_eq!(
            fleetctl.run(&["config", "get", "email", "--context", "x", "--config", "c.yml"]).stdout,
            "  x.email => a@b.c\n"
        );
        fs::remove_file(fleetctl.path().join("c.yml")).unwrap();
    }
}

#[test]
fn setting_nothing_shows_help() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["config", "set"]);
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.contains("--tls-skip-verify"), "{run:?}");
    assert!(!fleetctl.path().join(".fleet").exists());
}

#[test]
fn a_misspelt_key_of_the_context_file_is_named() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("c.yml", "contexts:\n  default:\n    adress: https://x\n");
    let run = fleetctl.run(&["get", "hosts", "--config", "c.yml"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("Error: c.yml:3:5: unknown key \"adress\"; expected one of: address, "), "{run:?}");
}

#[test]
fn errors_name_the_next_step_to_a_session() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["get", "hosts"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.stderr,
        "Error: set the Fleet API address with: fleetctl config set --address https://localhost:8080\n"
    );
    fleetctl.run(&["config", "set", "--address", "https://localhost:1"]);
    assert_eq!(fleetctl.run(&["get", "hosts"]).stderr, "Error: Please log in with: fleetctl login\n");
    assert_eq!(fleetctl.run(&["get", "hosts", "--context", "x"]).stderr, "Error: context \"x\" is not found\n");
    let run = fleetctl.run(&["config", "set", "--address", "http://fleet.example.com"]);
    assert!(run.stderr.starts_with("Error: Address must start with https://"), "{run:?}");
}

#[test]
fn an_unreachable_server_is_named() {
    let fleetctl = Fleetctl::new();
    // Port 1 of the loopback address: nothing listens there.
    fleetctl.run(&["config", "set", "--address", "http://127.0.0.1:1"]);
    let run = fleetctl.run(&["login", "--email", "a@b.c", "--password", "x"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("Error: Unable to log in: cannot reach http://127.0.0.1:1: "), "{run:?}");
}

#[test]
fn apply_wants_files() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["apply"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("Error: -f must be specified"), "{run:?}");
    let run = fleetctl.run(&["apply", "-f", "nothing.yml"]);
    assert!(run.stderr.starts_with("Error: cannot read nothing.yml: "), "{run:?}");
}

#[test]
fn problems_of_all_files_are_shown_at_once() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("a.yml", "kind: query\nspec:\n  name: a\n  name: b\n");
    fleetctl.write("b.yml", "kind: query\nspec:\n\tname: a\n");
    let run = fleetctl.run(&["apply", "-f", "a.yml", "-f", "b.yml"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stdout, "");
    assert!(
        run.stderr.starts_with(
            "a.yml:4:3: the key \"name\" is a duplicate; remove one of the two\n  4 |   name: b\n    |   ^^^^\nb.yml:3:"
        ),
        "{run:?}"
    );
    assert!(run.stderr.ends_with("Error: 2 problems, nothing was applied\n"), "{run:?}");
}

/// A colon and a space end a plain scalar: whoever meant SQL must see where it is.
#[test]
fn sql_that_yaml_takes_for_a_mapping_is_shown_with_its_line() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("sql.yml", include_str!("files/colon-in-plain-sql.yml"));
    let run = fleetctl.run(&["apply", "-f", "sql.yml"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("sql.yml:12:") && run.stderr.contains("nothing was applied"), "{run:?}");
}

#[test]
fn applying_nothing_succeeds() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["apply", "-f", "-"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "no documents found, nothing to apply\n"));
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let fleetctl = Fleetctl::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = fleetctl.command(&["--help"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn completion_scripts_list_the_commands() {
    let fleetctl = Fleetctl::new();
    for shell in ["bash", "fish", "zsh"] {
        let run = fleetctl.run(&["completion", shell]);
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains("enroll_secret"), "{shell}");
    }
}
