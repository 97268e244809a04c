use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use agent_compat::TestAgent;
use agent_compat::transport::Trust;
use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::archive_file::ArchiveFile;
use crate::own_server::OwnServer;

/// What a server with SQLite and without Redis has, in the order of the archive.
const HAD: [&str; 21] = [
    "allocs.prof",
    "block.prof",
    "cmdline.prof",
    "errors.json",
    "goroutine.prof",
    "heap.prof",
    "mutex.prof",
    "profile.prof",
    "threadcreate.prof",
    "trace.prof",
    "requests.json",
    "waits.json",
    "threads.json",
    "runtime.json",
    "state.json",
    "metrics.txt",
    "logs.json",
    "log-level.json",
    "config.json",
    "nodes.json",
    "migrations.json",
];

/// What it cannot have.
const NOT_HAD: [&str; 4] = ["db-innodb-status", "db-process-list", "redis-info", "redis-slowlog"];

#[test]
fn an_archive_has_all_that_can_be_had_and_names_the_rest() {
    let server = OwnServer::start();
    let run = server.fleetctl.run(&["debug", "archive", "--profile-seconds", "1", "--outfile", "a.tar.gz"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let path = server.fleetctl.path().join("a.tar.gz");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let archive = ArchiveFile::read(&path);
    assert!(archive.modes.iter().all(|mode| *mode == 0o600), "{:?}", archive.modes);
    assert_eq!(archive.paths.last().unwrap(), "a.tar.gz/manifest.json");

    let manifest = archive.json("manifest.json");
    let listed = |list: &str| {
        let names = manifest[list].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let entries = listed("entries");
    let of_list: Vec<_> = entries.iter().filter(|name| HAD.contains(&name.as_str())).collect();
    assert_eq!(of_list, HAD, "failed: {}", manifest["failures"]);
    let paths: Vec<_> = entries.iter().map(|name| format!("a.tar.gz/{name}")).collect();
    assert_eq!(archive.paths[..entries.len()], paths);
    for entry in manifest["entries"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let bytes = &archive.entries[name];
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (entry["sha256"].as_str().unwrap(), entry["bytes"].as_u64().unwrap()),
            (&*digest, bytes.len() as u64)
        );
        assert!(run.stderr.contains(&format!("Ran {}\n", name.rsplit_once('.').unwrap().0)), "{name}: {}", run.stderr);
    }
    let failures = listed("failures");
    for name in NOT_HAD {
        assert!(failures.iter().any(|failed| failed.starts_with(name)), "{name}: {failures:?}");
        assert!(run.stderr.contains(&format!("No {name}: ")), "{name}: {}", run.stderr);
    }
    assert!(run.stderr.contains("WARNING:") && run.stderr.contains("Archive written to: a.tar.gz\n"), "{run:?}");
    assert_eq!(manifest["nodes"][0]["version"], env!("CARGO_PKG_VERSION"), "{manifest}");
    let node = manifest["nodes"][0]["id"].as_str().unwrap();
    assert!(manifest["entries"].as_array().unwrap().iter().all(|entry| entry["node"] == node), "{manifest}");

    let again = server.bad(&["debug", "archive", "--outfile", "a.tar.gz"]);
    assert!(again.stderr.contains("a.tar.gz exists already; name another one, or remove it"), "{again:?}");
    let opened = server.good(&["debug", "open", "a.tar.gz"]);
    for part in [node, "not here: db-locks.json, db-innodb-status.json", "Processor time", "up for "] {
        assert!(opened.contains(part), "{part} is missing in\n{opened}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_has_no_secret() {
    let server = OwnServer::start();
    let documents = "kind: enroll_secret\nspec: {secrets: [{secret: planted-enroll-secret}]}\n";
    server.fleetctl.write("secret.yml", documents);
    server.good(&["apply", "-f", "secret.yml"]);
    let trust = Trust::CaFile(server.fleetctl.path().join("server/tls/server.crt"));
    let mut agent = TestAgent::simulated(1, "planted-enroll-secret", &server.url, &trust).unwrap();
    assert!(agent.enroll().await.verdict.is_success());
    agent.distributed().await;
    let mut wrong = TestAgent::simulated(2, "planted-wrong-secret", &server.url, &trust).unwrap();
    assert!(!wrong.enroll().await.verdict.is_success());
    server.fleetctl.run(&["login", "--email", "admin@example.com", "--password", "planted-password-1!"]);
    let token = server.good(&["config", "get", "token"]).trim().rsplit(' ').next().unwrap().to_owned();

    // The address has a password, and the context a header.
    let file = server.fleetctl.path().join(".fleet/config");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("https://127.0.0.1", "https://operator:planted-url-password@127.0.0.1");
    let text = format!("{}\n    custom-headers: {{X-Key: planted-header}}\n", text.trim_end());
    std::fs::write(&file, text).unwrap();

    server.good(&["debug", "archive", "--profile-seconds", "1", "-o", "a.tar.gz"]);
    let archive = ArchiveFile::read(&server.fleetctl.path().join("a.tar.gz"));
    let mut texts = vec![("the archive", archive.tar.clone())];
    for (name, bytes) in &archive.entries {
        let mut unpacked = Vec::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
        }
        texts.push((name.as_str(), unpacked));
    }
    let planted = [
        "planted-enroll-secret",
        "planted-wrong-secret",
        "planted-password-1!",
        "planted-url-password",
        "planted-header",
        "only-for-tests-1!",
        agent.node_key(),
        &token,
    ];
    for secret in planted {
        assert!(secret.len() > 8, "{secret}");
        for (name, bytes) in &texts {
            let has = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!has, "{name} has {secret}");
        }
    }
}

#[test]
fn an_archive_that_is_stopped_keeps_what_there_is() {
    let server = OwnServer::start();
    let mut command = server.fleetctl.command(&["debug", "archive", "--profile-seconds", "120", "-o", "a.tar.gz"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "Ran runtime"), "the archive ends");
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let rest: Vec<_> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(rest.last().unwrap().contains("stopped before the end"), "{rest:?}");

    let archive = ArchiveFile::read(&server.fleetctl.path().join("a.tar.gz"));
    let manifest = archive.json("manifest.json");
    assert_eq!(manifest["interrupted"], true);
    assert!(archive.entries.contains_key("runtime.json") && !archive.entries.contains_key("profile.prof"));
    let failures = manifest["failures"].as_array().unwrap();
    let profile = failures.iter().find(|failure| failure["name"] == "profile.prof").unwrap();
    assert_eq!(profile["reason"], "the collection was stopped");
    let opened = server.good(&["debug", "open", "a.tar.gz"]);
    assert!(opened.contains("stopped before the end"), "{opened}");
    let left: Vec<_> =
        std::fs::read_dir(server.fleetctl.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".fleetctl-archive")), "{left:?}");
}

#[test]
fn who_may_not_ask_is_told_before_anything_is_collected() {
    let server = OwnServer::start();
    server.good(&[
        "user",
        "create",
        "--email",
        "o@example.com",
        "--name",
        "o",
        "--password",
        "only-for-tests-2!",
        "--global-role",
        "observer",
    ]);
    server.good(&[
        "--context",
        "observer",
        "config",
        "set",
        "--address",
        &server.url,
        "--rootca",
        "server/tls/server.crt",
    ]);
    let login = ["--context", "observer", "login", "--email", "o@example.com", "--password", "only-for-tests-2!"];
    server.good(&login);
    let run = server.bad(&["--context", "observer", "debug", "archive"]);
    assert!(run.stderr.contains("/debug is for users with the role admin"), "{run:?}");
    server.good(&["logout"]);
    assert!(server.bad(&["debug", "archive"]).stderr.contains("fleetctl login"));
    let files = std::fs::read_dir(server.fleetctl.path()).unwrap();
    let archives = files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains("archive"));
    assert_eq!(archives.count(), 0);
}
