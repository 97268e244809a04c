use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{Builder, Header};

use crate::fleetctl::Fleetctl;

/// An archive with these entries.
fn packed(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, bytes) in entries {
        let mut header = Header::new_ustar();
        header.set_mode(0o600);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, format!("old.tar.gz/{name}"), *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn with(archive: &[u8]) -> Fleetctl {
    let fleetctl = Fleetctl::new();
    std::fs::write(fleetctl.path().join("old.tar.gz"), archive).unwrap();
    fleetctl
}

#[test]
fn an_archive_of_fleet_is_opened_as_far_as_it_goes() {
    let errors = json!([{"count": 7, "chain": [{"message": "dial tcp: refused"}]}]).to_string();
    let fleetctl =
        with(&packed(&[("goroutine.prof", b"\x00"), ("errors.json", errors.as_bytes()), ("profile.prof", b"x")]));
    let run = fleetctl.run(&["debug", "open", "old.tar.gz"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for part in ["has no manifest.json", "7 times", "dial tcp: refused", "profile.prof: is not a profile of pprof"] {
        assert!(run.stdout.contains(part), "{part}: {run:?}");
    }
}

#[test]
fn a_damaged_archive_shows_what_is_left_and_fails() {
    let manifest = json!({"format": 1, "client_version": "0.1.0", "address": "https://x", "profile_seconds": 1, "interrupted": false,
        "started_at": "2026-08-01T12:00:00Z", "ended_at": "2026-08-01T12:00:02Z",
        "nodes": [{"id": "n-1", "version": "0.1.0", "folder": ""}], "failures": [],
        "entries": [{"name": "errors.json", "node": "n-1", "started_at": "2026-08-01T12:00:00Z",
                     "ended_at": "2026-08-01T12:00:01Z", "bytes": 2, "sha256": "00"}]});
    let fleetctl = with(&packed(&[("errors.json", b"[]"), ("manifest.json", manifest.to_string().as_bytes())]));
    let run = fleetctl.run(&["debug", "open", "old.tar.gz"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("errors.json was changed: its checksum differs"), "{run:?}");
    assert_eq!(run.stderr, "Error: the archive has a fault; what it shows may be wrong or incomplete\n");

    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let whole =
        packed(&[("errors.json", br#"[{"count": 3, "chain": [{"message": "kept"}]}]"#), ("trace.prof", &noise)]);
    let run = with(&whole[..whole.len() / 2]).run(&["debug", "open", "old.tar.gz", "--json"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(
        summary["faults"][0].as_str().unwrap().contains("is cut off: only the first entry can be read"),
        "{summary}"
    );
    assert!(summary["findings"][0]["text"].as_str().unwrap().contains("kept"), "{summary}");
}

#[test]
fn what_is_no_archive_and_what_would_fill_the_memory_is_refused() {
    let run = with(b"garbage").run(&["debug", "open", "old.tar.gz"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("is not an archive of fleetctl debug archive"), "{run:?}");
    assert!(Fleetctl::new().run(&["debug", "open", "none"]).stderr.contains("cannot read none"));

    // One and a half GiB in some MiB.
    let zeros = vec![0; 1 << 20];
    let mut tar = GzEncoder::new(Vec::new(), Compression::fast());
    let mut header = Header::new_ustar();
    header.set_path("old.tar.gz/profile.prof").unwrap();
    header.set_size(3 << 29);
    header.set_cksum();
    tar.write_all(header.as_bytes()).unwrap();
    for _ in 0..3 << 9 {
        tar.write_all(&zeros).unwrap();
    }
    let fleetctl = with(&tar.finish().unwrap());
    let mut limited = std::process::Command::new("sh");
    // Far less than it unpacks to.
    limited.args([
        "-c",
        "ulimit -v 900000; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_fleetctl"),
        "debug",
        "open",
        "old.tar.gz",
    ]);
    let output = limited.current_dir(fleetctl.path()).env("HOME", fleetctl.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("unpacks to more than 1024 MiB"), "{stderr}");
}
