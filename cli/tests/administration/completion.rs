use std::path::Path;
use std::process::Command;

use crate::administration::{SCHEDULE, enrolled};
use crate::console::Console;
use crate::{completed, living};

/// What has become of a line in which a shell was asked to complete the last word.
fn pressed(console: &Console, shell: &str, line: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/press.zsh");
    let output = shell_command(console, "zsh").arg("-f").arg(script).args([shell, line]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
}

/// A shell that finds fleetctl, and its context.
fn shell_command(console: &Console, shell: &str) -> Command {
    let folder = Path::new(env!("CARGO_BIN_EXE_fleetctl")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(shell);
    command.env_clear().env("HOME", console.fleetctl.path()).env("PATH", path).env("TERM", "dumb");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_names_that_the_server_knows() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let _living = living(&console, 1);
    let host = enrolled(&console, 1).remove(0);
    let begun = &host[..host.len() - 2];
    for shell in ["bash", "zsh"] {
        for (line, expected) in [
            ("fleetctl get pack ba", "fleetctl get pack base "),
            ("fleetctl get label All\\ H", "fleetctl get label All\\ Hosts "),
            ("fleetctl get label 'All H", "fleetctl get label 'All Hosts' "),
            ("fleetctl get label it", "fleetctl get label it\\'s\\ mine "),
            ("fleetctl query --labels=All\\ H", "fleetctl query --labels=All\\ Hosts "),
            ("fleetctl query --query-name els", "fleetctl query --query-name elsewhere "),
            ("fleetctl completion ba", "fleetctl completion bash "),
            // Nothing is known of these.
            ("fleetctl get pack none", "fleetctl get pack none"),
            ("fleetctl --context none get pack ba", "fleetctl --context none get pack ba"),
        ] {
            assert_eq!(pressed(&console, shell, line), expected, "{shell}");
        }
        let line = format!("fleetctl hosts delete {begun}");
        assert_eq!(pressed(&console, shell, &line), format!("fleetctl hosts delete {host} "), "{shell}");
    }
    let fish = |line: &str| {
        let script = "fleetctl completion fish | source; complete --do-complete $argv[1]";
        let output = shell_command(&console, "fish").args(["--no-config", "-c", script, line]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(fish("fleetctl get pack ba"), ["base"]);
    assert_eq!(fish("fleetctl get label All"), ["All Hosts", "All Linux"]);
    assert_eq!(fish("fleetctl get pack none"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn words_of_every_kind_are_completed_and_failures_are_silent() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    for (words, expected) in [
        (&["fleetctl", "get", "packs", "F"][..], &["found nowhere"][..]),
        (&["fleetctl", "get", "stats", "x", "--pack", "ag"], &["again"]),
        (&["fleetctl", "query", "--labels", "it's mine,All H"], &["it's mine,All Hosts"]),
        (&["fleetctl", "user", "delete", "--email", "a"], &["admin@example.com"]),
        (&["fleetctl", "get", "packs", "--context", "de"], &["default"]),
        (&["fleetctl", "api", "-X", "PA"], &["PATCH"]),
    ] {
        assert_eq!(completed(&console, words), expected, "{words:?}");
    }
    // A server that is away, or does not know the session.
    console.good(&["config", "set", "--context", "away", "--address", "http://127.0.0.1:1", "--token", "made-up"]);
    console.good(&["config", "set", "--context", "ended", "--address", &console.url, "--token", "made-up"]);
    for context in ["away", "ended"] {
        assert_eq!(completed(&console, &["fleetctl", "--context", context, "get", "packs", "b"]), [""; 0], "{context}");
    }
}
