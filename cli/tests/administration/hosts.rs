use crate::administration::{SCHEDULE, enrolled};
use crate::console::Console;
use crate::living;

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_refetched_and_deleted_by_name() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let living = living(&console, 3);
    let names = enrolled(&console, 3);
    drop(living);

    let refetched = console.good(&["hosts", "refetch", &names[0]]);
    assert_eq!(
        refetched,
        format!("[+] asking host {:?} for its details and labels with its next check-in\n", names[0])
    );

    let dry = console.good(&["hosts", "delete", &names[0], "--hosts", &names[1], "--dry-run"]);
    assert!(dry.starts_with(&format!("[+] would've deleted host {:?} (ID ", names[0])), "{dry}");
    assert_eq!((dry.lines().count(), enrolled(&console, 3).len()), (2, 3));

    // All or none.
    let unknown = console.bad(&["hosts", "delete", &names[0], "none"]);
    assert!(unknown.stderr.contains("there is no host \"none\""), "{unknown:?}");
    assert!(unknown.stderr.ends_with("Error: 1 host was not found; nothing was done\n"), "{unknown:?}");
    assert_eq!(enrolled(&console, 3).len(), 3);

    let deleted = console.good(&["hosts", "delete", &names[0]]);
    assert!(deleted.starts_with(&format!("[+] deleted host {:?} (ID ", names[0])), "{deleted}");
    assert!(console.bad(&["get", "host", &names[0]]).stderr.contains("there is no host"));

    for (flags, part) in [
        (vec!["hosts", "delete"], "name hosts, or what they have in common"),
        (vec!["hosts", "delete", "x", "--status", "offline"], "cannot be used together with"),
        (vec!["hosts", "delete", "--label", "none"], "no label is named \"none\""),
        (vec!["hosts", "delete", "--status", "gone"], "invalid value 'gone'"),
        (vec!["hosts", "refetch"], "name the hosts"),
        (vec!["get", "hosts", "--label", "none"], "no label is named \"none\""),
    ] {
        let run = console.bad(&flags);
        assert!(run.stderr.contains(part), "{flags:?}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_and_deleted_by_what_they_have_in_common() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let living = living(&console, 23);
    let names = enrolled(&console, 23);
    drop(living);

    let listed = |flags: &[&str]| console.good(&[&["get", "hosts", "-o", "name"], flags].concat());
    assert_eq!(listed(&["--search-query", &names[4]]).trim(), names[4]);
    assert_eq!(listed(&["--status", "new", "--label", "all hosts"]).lines().count(), 23);
    assert_eq!(listed(&["--label", "it's mine"]), "");
    assert_eq!(listed(&["--platform", "no such"]), "");
    let csv = console.good(&["get", "hosts", "--csv", "--columns", "hostname", "--search-query", &names[4]]);
    assert_eq!(csv, format!("hostname\r\n{}\r\n", names[4]));
    let table = console.good(&["get", "hosts", "--search-query", &names[4]]);
    assert!(table.contains(&names[4]) && !table.contains(&names[5]), "{table}");
    let both = console.fleetctl.run(&["get", "hosts", &names[4], "--status", "online"]);
    assert!(both.code != Some(0) && both.stderr.contains("cannot be used with"), "{both:?}");

    let dry = console.good(&["hosts", "delete", "--status", "new", "--dry-run"]);
    let lines: Vec<&str> = dry.lines().collect();
    assert_eq!((lines[0], lines.len()), ("[+] would've deleted 23 hosts (status new):", 22), "{dry}");
    assert!(lines[1].starts_with("    \"") && lines[1].contains("(ID "), "{dry}");
    assert_eq!(lines[21], "    and 3 more");
    let run = console.bad(&["hosts", "delete", "--search-query", &names[4]]);
    assert!(run.stderr.contains("see which with --dry-run"), "{run:?}");
    let deleted = console.good(&["hosts", "delete", "--search-query", &names[4], "--yes"]);
    assert!(deleted.starts_with("[+] deleted 1 host ("), "{deleted}");
    assert_eq!(listed(&[]).lines().count(), 22);
}
