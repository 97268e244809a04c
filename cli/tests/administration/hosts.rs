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
    ] {
        let run = console.bad(&flags);
        assert!(run.stderr.contains(part), "{flags:?}: {run:?}");
    }
}
