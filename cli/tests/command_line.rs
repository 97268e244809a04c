//! The built program without a server.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod fleetctl;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use fleetctl::{Fleetctl, Run};
use serde_json::Value;

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
    assert!(run.stderr.contains("Error: 2 problems, nothing was applied; there may be more"), "{run:?}");
}

#[test]
fn files_that_cannot_be_read_hide_no_problem_of_others() {
    let fleetctl = Fleetctl::new();
    std::fs::write(fleetctl.path().join("latin.yml"), b"kind: \xe4\n").unwrap();
    fleetctl.write("a.yml", "kind: query\nspec:\n  name: a\n  name: b\n");
    let run = fleetctl.run(&["apply", "-f", "latin.yml", "-f", "none.yml", "-f", "a.yml"]);
    assert_eq!(run.code, Some(1));
    for part in ["a.yml:4:3: the key", "latin.yml:1: not UTF-8", "cannot read none.yml", "Error: 3 problems, nothing"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
}

#[test]
fn a_pack_and_documents_name_the_command_that_reads_them() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("pack.conf", "{\"queries\": {\"q\": {\"query\": \"select 1\", \"interval\": 60}}}");
    let run = fleetctl.run(&["apply", "-f", "pack.conf"]);
    assert!(run.stderr.contains("looks like an osquery pack") && run.stderr.contains("fleetctl convert"), "{run:?}");
    fleetctl.write("packs/x.yml", "kind: query\nspec:\n  name: a\n");
    let run = fleetctl.run(&["convert", "-f", "packs/x.yml"]);
    assert!(run.stderr.contains("use fleetctl apply"), "{run:?}");
    fleetctl.write("packs/pack.json", "{}");
    fleetctl.write("packs/x.yml", "kind: [\n");
    let run = fleetctl.run(&["apply", "-f", "packs"]);
    assert!(run.stderr.starts_with("warning: skipped packs/pack.json: of directories only .yml and .yaml"), "{run:?}");
}

#[test]
fn a_bad_variable_and_a_missing_command_are_named() {
    let fleetctl = Fleetctl::new();
    let run = Run::from(fleetctl.command(&["query", "--all", "--query", "x"]).env("TIMEOUT", "5").output().unwrap());
    assert!(run.stderr.contains("The value comes from the environment variable TIMEOUT."), "{run:?}");
    let run = fleetctl.run(&["query", "--all", "--query", "x", "--timeout", "5"]);
    assert!(!run.stderr.contains("environment variable"), "{run:?}");
    let run = fleetctl.run(&["get", "policys"]);
    assert_eq!(run.code, Some(3));
    assert!(!run.stderr.contains("'p'"), "{run:?}");
}

#[test]
fn a_context_is_set_only_to_what_can_be_used() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["config", "set", "--address", "127.0.0.1:18480"]);
    assert!(run.stderr.contains("does it begin with https://?") && !run.stderr.contains("base"), "{run:?}");
    let run = fleetctl.run(&["config", "set", "--rootca", "none.crt"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("cannot read the root CA") && run.stderr.contains("none.crt"), "{run:?}");
}

/// A colon and a space end a plain scalar: whoever meant SQL must see where it is.
#[test]
fn sql_that_yaml_takes_for_a_mapping_is_shown_with_its_line() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("sql.yml", include_str!("files/colon-in-plain-sql.yml"));
    let run = fleetctl.run(&["apply", "-f", "sql.yml"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("sql.yml:12:") && run.stderr.contains("nothing was applied"), "{run:?}");
    assert!(run.stderr.contains("Quote it, or write it on the lines below `|-`"), "{run:?}");
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
fn completion_scripts_ask_the_program_for_its_commands() {
    let fleetctl = Fleetctl::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = fleetctl.run(&["completion", shell]);
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains("FLEETCTL_COMPLETE"), "{shell}");
    }
    for (words, expected) in
        [(["fleetctl", "get", "enroll_sec"], "enroll_secret"), (["fleetctl", "get", "sch"], "schema")]
    {
        let mut asked = fleetctl.command(&[&["--"], words.as_slice()].concat());
        asked.env("FLEETCTL_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2");
        let output = asked.output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{output:?}");
    }
    // Nobody is logged in, and the shell is one of another version.
    for shell in ["bash", "made-up"] {
        let mut asked = fleetctl.command(&["--", "fleetctl", "query", "--query", "SELECT * FROM pro"]);
        let output = asked.env("FLEETCTL_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", "3").output().unwrap();
        assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()), "{shell}");
    }
}

#[test]
fn man_pages_of_all_commands_have_examples() {
    let fleetctl = Fleetctl::new();
    fs::create_dir(fleetctl.path().join("man")).unwrap();
    assert_eq!(fleetctl.run(&["manual", "--man", "man"]).code, Some(0));
    for (page, example) in [
        ("fleetctl-api.1", "fleetctl api labels"),
        ("fleetctl-run.1", "fleetctl run web"),
        ("fleetctl-hosts-delete.1", "fleetctl hosts delete"),
        ("fleetctl-user-create-users.1", "create\\-users \\-\\-csv"),
        ("fleetctl-debug-log-level-set.1", "debug log\\-level set"),
    ] {
        let text = fs::read_to_string(fleetctl.path().join("man").join(page)).unwrap();
        assert!(text.contains(example), "{example} is missing in {page}:\n{text}");
    }
}

/// A program that answers as osqueryi does: its shell is SQLite's.
fn osqueryi(fleetctl: &Fleetctl) -> String {
    fleetctl.write("osqueryi", "#!/bin/sh\nexec sqlite3 -json :memory:\n");
    let path = fleetctl.path().join("osqueryi");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

const COUNT: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT COUNT(*) AS n FROM n";

#[test]
fn queries_are_measured_where_osquery_is() {
    let fleetctl = Fleetctl::new();
    let program = osqueryi(&fleetctl);
    let document = |name: &str, sql: &str| format!("kind: query\nspec:\n  name: {name}\n  query: |-\n    {sql}\n---\n");
    fleetctl.write("queries.yml", &[document("cheap", "SELECT 1"), document("dear", COUNT)].concat());
    let run = fleetctl.run(&["profile", "-f", "queries.yml", "--osqueryi", &program, "--runs", "2", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let profiles: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cpu = |index: usize| profiles[index]["cost"]["cpu_ms"].as_f64().unwrap();
    assert_eq!((&profiles[0]["name"], &profiles[1]["name"]), (&"cheap".into(), &"dear".into()), "{run:?}");
    assert!(cpu(1) > cpu(0), "three million rows cost more than one: {run:?}");
    assert_eq!((&profiles[1]["cost"]["rows"], &profiles[1]["runs"]), (&1.into(), &2.into()), "{run:?}");
    let text = fleetctl.run(&["profile", "--query", "SELECT 1", "--osqueryi", &program]).stdout;
    assert!(text.starts_with("--query\n  U:") && text.contains("1 rows (median of 3 runs)"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let fleetctl = Fleetctl::new();
    let missing = fleetctl.run(&["profile", "--query", "SELECT 1"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("install osquery, or name its program with --osqueryi"), "{missing:?}");
    let program = osqueryi(&fleetctl);
    let wrong = fleetctl.run(&["profile", "--query", "SELECT * FROM none", "--osqueryi", &program]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stdout.contains("not measured:") && wrong.stdout.contains("no such table: none"), "{wrong:?}");
    assert!(wrong.stderr.contains("1 query could not be measured"), "{wrong:?}");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n";
    let slow = fleetctl.run(&["profile", "--query", endless, "--osqueryi", &program, "--timeout", "1"]);
    assert!(slow.stdout.contains("it took longer than 1 s"), "{slow:?}");
    fleetctl.write("label.yml", "kind: label\nspec: {name: a, query: SELECT 1}\n");
    let none = fleetctl.run(&["profile", "-f", "label.yml", "--osqueryi", &program]);
    assert!(none.stderr.contains("no documents of kind query"), "{none:?}");
}

#[test]
fn a_command_that_only_fleet_has_says_what_to_do_instead() {
    let fleetctl = Fleetctl::new();
    for (words, part) in [(&["gitops", "-f", "x"][..], "fleetctl apply -f"), (&["get", "teams"], "no teams here")] {
        let run = fleetctl.run(words);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (Some(1), "", 1), "{run:?}");
        assert!(run.stderr.starts_with("Error: ") && run.stderr.contains(part), "{run:?}");
    }
}
