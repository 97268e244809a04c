//! Exports and repositories as users of Fleet have them: they apply as they are, warn once of each thing that is skipped, and
//! what was applied goes to another server without loss.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

#[expect(dead_code, reason = "other tests use the rest")]
mod console;
mod fleetctl;

use std::fs;
use std::path::Path;

use console::Console;
use fleetctl::Run;

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/fleet");

/// What is asked of a server that is to be copied.
const ALL: [&str; 7] = ["queries", "labels", "packs", "global_schedule", "config", "enroll_secret", "user_roles"];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, target).unwrap()),
        }
    }
}

/// A server that is set up, with the files in the folder of its client.
async fn with_files() -> Console {
    let console = Console::set_up().await;
    // Once this answers, all hosts are in memory, so that dry runs count them.
    console.good(&["get", "hosts"]);
    copy(Path::new(FILES), &console.fleetctl.path().join("fleet"));
    console
}

fn apply(console: &Console, args: &[&str], variables: &[(&str, &str)]) -> Run {
    let args: Vec<&str> = ["apply"].into_iter().chain(args.iter().copied()).collect();
    Run::from(console.fleetctl.command(&args).envs(variables.iter().copied()).output().unwrap())
}

/// Asserts that what is warned of are the parts that a file lists, one a line, each once.
fn assert_warned(run: &Run, listed: &str) {
    assert_eq!(run.code, Some(0), "{run:?}");
    let parts = fs::read_to_string(Path::new(FILES).join(listed)).unwrap();
    let wrong: Vec<&str> = parts.lines().filter(|part| run.stderr.matches(part).count() != 1).collect();
    assert!(wrong.is_empty(), "not there once: {wrong:#?}\n{}", run.stderr);
    assert_eq!(run.stderr.matches("warning: ").count(), parts.lines().count(), "{}", run.stderr);
}

/// Everything that a server gives, without numbers and times of its own.
fn everything(console: &Console) -> String {
    let all = ALL.map(|what| console.good(&["get", what, "--yaml"])).concat();
    let lines = all.lines().filter(|line| !line.starts_with("  id: "));
    lines
        .map(|line| match line.split_once("created_at: ") {
            Some((before, _)) => format!("{before}created_at: 2026-01-01T00:00:00Z\n"),
            None => format!("{line}\n"),
        })
        .collect()
}

/// Asserts that another server to which everything is applied gives the same.
async fn assert_goes_to_another_server(console: &Console) {
    let documents = everything(console);
    let other = Console::set_up().await;
    let run = other.apply(&documents);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(everything(&other), documents);
    let again = other.apply(&documents);
    assert!(again.stdout.ends_with("no changes\n"), "{again:?}");
}

const VARIABLES: [(&str, &str); 2] =
    [("EXAMPLE_SERVER_URL", "https://muster.example.com:8080"), ("EXAMPLE_ENROLL_SECRET", "obvious-fake-first")];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_repository_for_gitops_applies() {
    let console = with_files().await;
    let run = apply(&console, &["-f", "fleet/gitops"], &VARIABLES);
    assert_warned(&run, "gitops.warnings");
    let pack = console.good(&["get", "pack", "Global (Canaries, Containers)"]);
    assert!(pack.contains("query: USB devices") && pack.contains("interval: 300"), "{pack}");
    let pack = console.good(&["get", "pack", "Global (none of Canaries)"]);
    assert!(pack.contains("query: Failed logins") && pack.contains("labels_exclude_any"), "{pack}");
    let schedule = console.good(&["get", "schedule"]);
    assert!(schedule.contains("query: osquery_info") && schedule.contains("interval: 604800"), "{schedule}");
    assert!(schedule.contains("query: Packages") && !schedule.contains("Failed logins"), "{schedule}");
    let queries = console.good(&["get", "queries", "--yaml"]);
    assert!(queries.contains("%ssl$") && queries.contains("Failed logins"), "{queries}");
    let config = console.good(&["get", "config"]);
    assert!(config.contains("server_url: https://muster.example.com:8080"), "{config}");
    assert!(config.contains("/etc/%%") && config.contains("distributed_interval: 20"), "{config}");
    let secrets = console.good(&["get", "enroll_secret"]);
    assert!(secrets.contains("obvious-fake-first") && secrets.contains("obvious-fake-second"), "{secrets}");
    assert!(!secrets.contains('$'), "{secrets}");

    let again = apply(&console, &["-f", "fleet/gitops"], &VARIABLES);
    assert!(again.stdout.ends_with("no changes\n"), "{again:?}");
    // Files one by one are the same: those that they refer to are read as well.
    let named = ["-f", "fleet/gitops/default.yml", "-f", "fleet/gitops/teams/workstations.yml"];
    let one_by_one = apply(&console, &named, &VARIABLES);
    assert!(one_by_one.stdout.ends_with("no changes\n"), "{one_by_one:?}");
    assert_goes_to_another_server(&console).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn mistakes_in_a_repository_for_gitops_are_told_with_their_place() {
    let console = with_files().await;
    let folder = console.fleetctl.path().join("fleet/gitops");
    let edit = |name: &str, from: &str, to: &str| {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    edit("default.yml", "controls:", "contrls:");
    edit("default.yml", "./lib/labels.yml", "./lib/label.yml");
    let run = apply(&console, &["-f", "fleet/gitops"], &VARIABLES[..1]);
    assert_eq!(run.code, Some(1), "{run:?}");
    for part in [
        "fleet/gitops/default.yml:43:1: contrls: unknown key",
        "fleet/gitops/default.yml:3:11: cannot read fleet/gitops/lib/label.yml: ",
        "default.yml:66:15: the environment variable EXAMPLE_ENROLL_SECRET is not set",
        "Error: 3 problems, nothing was applied",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    edit("default.yml", "contrls:", "controls:");
    edit("default.yml", "./lib/label.yml", "./lib/labels.yml");
    edit("lib/queries/inventory.yml", "interval: 3600", "intervall: 3600");
    let run = apply(&console, &["-f", "fleet/gitops"], &VARIABLES);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("fleet/gitops/lib/queries/inventory.yml:15:3: "), "{run:?}");
    assert!(run.stderr.contains("did you mean \"interval\"?"), "{run:?}");
    assert_eq!(console.fleetctl.run(&["get", "queries", "--yaml"]).stdout, "", "nothing was applied");
}

/// A folder may hold files for other programs beside those of a repository.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn files_that_a_repository_does_not_refer_to_are_skipped() {
    let console = with_files().await;
    console.fleetctl.write("fleet/gitops/lib/unused.yml", "- name: not used\n  query: SELECT 1\n");
    let run = apply(&console, &["-f", "fleet/gitops", "--dry-run"], &VARIABLES);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("warning: skipped fleet/gitops/lib/unused.yml: they are no documents"), "{run:?}");
    assert!(run.stdout.contains("\nplan: "), "{run:?}");
    assert!(run.stdout.ends_with("\nhosts: 0 of 0 would get another config\n"), "{run:?}");
    let alone = apply(&console, &["-f", "fleet/gitops/lib/unused.yml"], &[]);
    assert!(alone.code == Some(1) && alone.stderr.contains("expects a document"), "{alone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_export_of_fleet_applies() {
    let console = with_files().await;
    let run = apply(&console, &["-f", "fleet/export.yml"], &[]);
    assert_warned(&run, "export.warnings");
    let schedule = console.good(&["get", "global_schedule"]);
    assert!(schedule.contains("query: dns resolvers") && schedule.contains("4.6.0"), "{schedule}");
    assert!(!schedule.contains("uptime"), "{schedule}");
    let again = apply(&console, &["-f", "fleet/export.yml"], &[]);
    assert!(again.stdout.ends_with("no changes\n"), "{again:?}");
    assert_goes_to_another_server(&console).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_export_of_kolide_applies() {
    let console = with_files().await;
    let run = apply(&console, &["-f", "fleet/kolide.yml"], &[]);
    assert_warned(&run, "kolide.warnings");
    assert!(console.good(&["get", "config"]).contains("server_url: https://kolide.example.com"));
    assert!(console.good(&["get", "label", "pending_updates"]).contains("platform: darwin"));
    let again = apply(&console, &["-f", "fleet/kolide.yml"], &[]);
    assert!(again.stdout.ends_with("no changes\n"), "{again:?}");
    assert_goes_to_another_server(&console).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn teams_are_refused_and_options_with_mistakes_can_be_forced() {
    let console = Console::set_up().await;
    console.fleetctl.write("options.yml", "kind: options\nspec: {config: {options: {distributed_interval: ten}}}\n");
    for flag in ["--team", "--policies-team"] {
        let run = console.bad(&["apply", "-f", "options.yml", flag, "Workstations"]);
        assert!(run.stderr.contains("make a label of the hosts of \"Workstations\""), "{run:?}");
    }
    let run = console.bad(&["apply", "-f", "options.yml"]);
    assert!(run.stderr.contains("options.yml:2:27: "), "{run:?}");
    let run = console.fleetctl.run(&["apply", "-f", "options.yml", "--force"]);
    assert!(run.code == Some(0) && run.stderr.contains("warning: forced, although: "), "{run:?}");
    assert!(console.good(&["get", "options"]).contains("distributed_interval: ten"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dry_run_prints_a_plan() {
    let console = Console::set_up().await;
    let query = |sql: &str| format!("kind: query\nspec: {{name: a, query: \"{sql}\", interval: 60}}\n");
    console.good(&["get", "hosts"]);
    assert_eq!(console.apply(&query("SELECT 1")).code, Some(0));
    console.fleetctl.write("a.yml", &query("SELECT 2"));
    let plan = console.good(&["apply", "-f", "a.yml", "--dry-run"]);
    assert_eq!(
        plan,
        "[+] would've applied 1 query (1 changed)\n    changed query \"a\": query\n      query: SELECT 1 -> SELECT 2\n\
         plan: 0 created, 1 changed, 0 deleted, 0 unchanged\nhosts: 0 of 0 would get another config\n"
    );
    assert!(console.good(&["get", "query", "a"]).contains("SELECT 1"));
}
