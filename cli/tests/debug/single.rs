use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::own_server::OwnServer;

/// The only file in the folder whose name begins so.
fn written(server: &OwnServer, start: &str) -> (String, Vec<u8>) {
    let files = std::fs::read_dir(server.fleetctl.path()).unwrap().map(|file| file.unwrap());
    let mut names: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(start));
    assert_eq!(names.len(), 1, "{names:?}");
    let path = server.fleetctl.path().join(&names[0]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    (names.remove(0), std::fs::read(path).unwrap())
}

#[test]
fn single_items_are_written_or_shown() {
    let server = OwnServer::start();
    let run = server.fleetctl.run(&["debug", "profile", "--seconds", "1"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let (name, profile) = written(&server, "fleet-profile-");
    assert!(name.ends_with("Z.prof") && profile.starts_with(&[0x1f, 0x8b]), "{name}");
    assert!(run.stderr.ends_with(&format!("Output written to {name}\n")), "{run:?}");
    for (command, start, ending) in
        [("tasks", "fleet-goroutine-", ".prof"), ("trace", "fleet-trace-", ".prof"), ("heap", "fleet-heap-", ".prof")]
    {
        server.good(&["debug", command]);
        let (name, _) = written(&server, start);
        assert!(name.ends_with(ending), "{name}");
    }
    server.good(&["debug", "goroutine", "-o", "tasks.txt"]);
    assert!(!written(&server, "tasks.txt").1.is_empty());

    assert!(server.good(&["debug", "cmdline"]).starts_with("['"));
    assert_eq!(server.good(&["debug", "migrations"]), "Migrations up-to-date.\n");
    let errors: Value = serde_json::from_str(&server.good(&["debug", "errors", "--stdout", "--flush"])).unwrap();
    assert!(errors.is_array(), "{errors}");
    let none = server.fleetctl.run(&["debug", "errors"]);
    assert_eq!((none.code, none.stderr.as_str()), (Some(0), "no errors since the start\n"), "{none:?}");
    let both = server.fleetctl.run(&["debug", "errors", "--stdout", "-o", "x"]);
    assert!(both.stderr.contains("cannot be used with"), "{both:?}");
    for (command, part) in
        [("requests", "GET"), ("waits", "POOL"), ("nodes", env!("CARGO_PKG_VERSION")), ("logs", "muster")]
    {
        let shown = server.good(&["debug", command]);
        assert!(shown.contains(part), "{command}: {shown}");
        let raw = server.good(&["debug", command, "--json"]);
        assert!(serde_json::from_str::<Value>(&raw).is_ok(), "{raw}");
    }
    let level = server.good(&["debug", "log-level", "set", "info,muster::fleet=debug", "--for", "1m"]);
    assert!(level.contains("muster::fleet=debug"), "{level}");
    assert!(server.good(&["debug", "log-level", "show"]).contains("muster::fleet=debug"));
    let reset = server.good(&["debug", "log-level", "reset"]);
    assert!(!reset.contains("muster::fleet=debug"), "{reset}");
    let long = server.fleetctl.run(&["debug", "log-level", "set", "info", "--for", "3d"]);
    assert!(long.code == Some(1) && long.stderr.contains("--for") && long.stderr.contains("at most 1d"), "{long:?}");
    let wrong = server.bad(&["debug", "log-level", "set", "no such=filter="]);
    assert!(wrong.stderr.starts_with("Error: "), "{wrong:?}");

    let locks = server.bad(&["debug", "db-innodb-status"]);
    assert!(locks.stderr.contains("SQLite"), "{locks:?}");
    let elsewhere = server.bad(&["debug", "requests", "--node", "no-such-node"]);
    assert!(elsewhere.stderr.contains("there is no node no-such-node over this database"), "{elsewhere:?}");
}
