//! `fleetctl convert` as the built program runs it.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod fleetctl;

use std::fs;

use fleetctl::{Fleetctl, Run};

const ONE: &str =
    "// One\n{\"queries\": {\n  \"users\": {\"query\": \"SELECT * \\\n    FROM users;\", \"interval\": \"60\"}\n}}\n";
const OTHER: &str = "{\"queries\": {\"users\": {\"query\": \"SELECT uid FROM users;\", \"interval\": 60, \"odd\": 1}}}";
const ADVICE: &str = "Set targets.labels of each pack before applying, for example to: [All Hosts]\n";

#[test]
fn documents_go_to_standard_output_and_advice_elsewhere() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("one.conf", ONE);
    let run = fleetctl.run(&["convert", "-f", "one.conf"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stderr, format!("pack \"one\": 1 queries, no targets yet\n{ADVICE}"));
    let query = "kind: query\nspec:\n  description: \"\"\n  name: users\n  query: SELECT *     FROM users;\n";
    assert!(run.stdout.ends_with(query), "{run:?}");
}

#[test]
fn a_folder_keeps_equal_names_apart() {
    let fleetctl = Fleetctl::new();
    fs::create_dir(fleetctl.path().join("packs")).unwrap();
    fleetctl.write("packs/one.conf", ONE);
    fleetctl.write("packs/other.conf", OTHER);
    fleetctl.write("packs/notes.txt", "no pack");
    let run = fleetctl.run(&["convert", "-f", "packs"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for line in ["    query: one/users\n", "    query: other/users\n", "  name: one/users\n", "  name: other/users\n"] {
        assert_eq!(run.stdout.matches(line).count(), 1, "{line} in {run:?}");
    }
    let unknown = "packs/other.conf:1:75: warning: unknown key \"odd\" is left out\n";
    assert!(run.stderr.starts_with(unknown), "{run:?}");
    let kept_apart = "Queries with the same name but different SQL are named PACK/NAME: \"users\"\n";
    assert!(run.stderr.contains(kept_apart), "{run:?}");
    let alone = fleetctl.run(&["convert", "-f", "packs/one.conf", "--prefix-names", "--name", "x"]);
    assert!(alone.stdout.contains("  name: x/users\n"), "{alone:?}");
}

#[test]
fn a_file_is_overwritten_only_with_force() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("one.conf", ONE);
    fleetctl.write("one.yml", "mine");
    let convert = ["convert", "-f", "one.conf", "-o", "one.yml"];
    let run = fleetctl.run(&convert);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), "Error: one.yml exists; overwrite it with --force\n"));
    assert_eq!(fs::read_to_string(fleetctl.path().join("one.yml")).unwrap(), "mine");
    let run = fleetctl.run(&[convert.as_slice(), &["--force"]].concat());
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    assert!(fs::read_to_string(fleetctl.path().join("one.yml")).unwrap().starts_with("---\napiVersion: v1\n"));
}

#[test]
fn problems_of_all_files_are_shown_and_nothing_is_written() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("a.conf", "{\"queries\": {\"q\": {\"query\": \"x\", \"interval\": 60.0}}}");
    fleetctl.write("b.conf", "# nothing\n{\"queries\": }");
    let run = fleetctl.run(&["convert", "-f", "a.conf", "-f", "b.conf", "-o", "new.yml"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("a.conf:1:34: expects a whole number of seconds"), "{run:?}");
    assert!(run.stderr.contains("\nb.conf:2:13: invalid JSON: expected value\n"), "{run:?}");
    assert!(run.stderr.ends_with("Error: 2 problems, nothing was converted\n"), "{run:?}");
    assert!(!fleetctl.path().join("new.yml").exists());
}

#[test]
fn missing_flags_are_named() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("one.conf", ONE);
    let stderr = |args: &[&str]| {
        let mut command = fleetctl.command(args);
        command.stdin(fs::File::open(fleetctl.path().join("one.conf")).unwrap());
        Run::from(command.output().unwrap()).stderr
    };
    assert!(stderr(&["convert"]).starts_with("Error: -f must be specified"));
    assert!(stderr(&["convert", "-f", "-"]).ends_with("set it with --name\n"));
    assert!(stderr(&["convert", "-f", "-", "--name", "x"]).starts_with("pack \"x\": 1 queries"));
    let both = stderr(&["convert", "-f", "-", "-f", "one.conf", "--name", "x"]);
    assert_eq!(both, "Error: --name applies to one file, but 2 are given\n");
}
