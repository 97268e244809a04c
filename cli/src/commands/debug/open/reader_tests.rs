use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;

fn packed(tar: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(tar).unwrap();
    file.write_all(&encoder.finish().unwrap()).unwrap();
    file
}

fn tar(header: fn() -> Header, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = header();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn names(contents: &Contents) -> Vec<&str> {
    contents.entries.keys().map(String::as_str).collect()
}

#[test]
fn archives_of_others_are_read_with_long_names_too() {
    let long = format!("fleet/{}/errors.json", "x".repeat(120));
    let entries: [(&str, &[u8]); 2] = [(&long, b"[]"), ("fleet/profile.prof", b"p")];
    let file = packed(&tar(Header::new_gnu, &entries));
    let contents = read(file.path(), LIMITS).unwrap();
    assert_eq!(names(&contents), ["profile.prof", &long[6..]]);
    assert!(contents.manifest.is_none() && contents.faults.is_empty(), "{contents:?}");

    let path = format!("{} path={long}\n", long.len() + 10);
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_size(path.len() as u64);
    builder.append_data(&mut header, "pax", path.as_bytes()).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(2);
    builder.append_data(&mut header, "short", &b"[]"[..]).unwrap();
    let file = packed(&builder.into_inner().unwrap());
    assert_eq!(names(&read(file.path(), LIMITS).unwrap()), [&long[6..]]);
}

#[test]
fn a_cut_off_archive_gives_what_was_whole() {
    let noise: Vec<u8> = (0..200_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = packed(&tar(Header::new_ustar, &[("a/errors.json", b"[]"), ("a/trace.prof", &noise)]));
    let whole = std::fs::read(file.path()).unwrap();
    std::fs::write(file.path(), &whole[..whole.len() / 2]).unwrap();
    let contents = read(file.path(), LIMITS).unwrap();
    assert_eq!(names(&contents), ["errors.json"]);
    assert!(contents.faults[0].contains("is cut off: only the first entry can be read"), "{:?}", contents.faults);
}

#[test]
fn what_is_no_archive_is_refused_in_words() {
    let refusal = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path(), LIMITS).unwrap_err().to_string()
    };
    assert!(refusal(b"").contains("not compressed with gzip"));
    assert!(refusal(b"\x1f\x8bgarbage that is no gzip").contains("is not an archive"));
    let file = packed(b"no tar at all");
    assert!(read(file.path(), LIMITS).unwrap_err().to_string().contains("is not an archive"));
    let file = packed(&tar(Header::new_ustar, &[]));
    assert!(read(file.path(), LIMITS).unwrap_err().to_string().contains("it contains nothing"));
    assert!(read(Path::new("/no/such/file"), LIMITS).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let limits = Limits { entries: 3, entry_bytes: 1_000, held_bytes: 1_500, unpacked_bytes: 1 << 20 };
    let zeros = vec![0; 2 << 20];
    let file = packed(&tar(Header::new_ustar, &[("a/errors.json", b"[]"), ("a/bomb", &zeros)]));
    let contents = read(file.path(), limits).unwrap();
    assert_eq!(names(&contents), ["errors.json"]);
    assert!(contents.faults.iter().any(|fault| fault.contains("unpacks to more than 1 MiB")), "{:?}", contents.faults);

    let file =
        packed(&tar(Header::new_ustar, &[("a/1", &zeros[..900]), ("a/2", &zeros[..900]), ("a/3", b""), ("a/4", b"")]));
    let contents = read(file.path(), limits).unwrap();
    assert_eq!(contents.entries.values().map(|entry| entry.bytes.len()).collect::<Vec<_>>(), [900, 0, 0]);
    assert_eq!(contents.entries["2"].size, 900);
    assert!(contents.faults[0].contains("is not looked into") && contents.faults[1].contains("first 3 entries"));

    // A name of a gigabyte is not held either.
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(zeros.len() as u64);
    builder.append_data(&mut header, "name", &zeros[..]).unwrap();
    let file = packed(&builder.into_inner().unwrap());
    assert!(read(file.path(), limits).is_err());
}
