//! Carves, and their contents.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use muster_api::rest::{Carve, CarveBlockDigest, CarveEnvelope, CarveList, CarveStatus};
use sha2::{Digest as _, Sha256};

use super::print::{self, PrintedDocument};
use super::{CarveArgs, CarvesArgs, format};
use crate::rest::{RestClient, RestError, segment};
use crate::{output, table};

/// How often a download that breaks off without a byte is begun again.
const ATTEMPTS: u32 = 3;

/// Bytes of a file that are read at one time.
const AT_ONCE: usize = 1 << 20;

pub async fn carves(server: &RestClient, args: CarvesArgs) -> anyhow::Result<()> {
    let mut path = format!("carves?expired={}", args.expired);
    if let Some(id) = args.live_query {
        path.push_str(&format!("&live_query_id={id}"));
    }
    let found = server.get::<CarveList>(&path).await?.carves;
    if args.format.is_documents(false) {
        return print::items(&PrintedDocument::all("carve", &found)?, args.format);
    }
    if args.format.is_names() {
        return format::names(found.iter().map(|carve| carve.id.to_string()));
    }
    if found.is_empty() {
        output::note("No carves found");
        return Ok(());
    }
    let rows = found.into_iter().map(|carve| {
        let created_at = carve.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let errored = if carve.status == CarveStatus::Failed { "yes" } else { "no" };
        vec![
            carve.id.to_string(),
            created_at,
            carve.host_id.to_string(),
            completion(&carve),
            carve.carve_size.to_string(),
            errored.to_owned(),
            output::printable(&asked_by(&carve)),
            carve.request_id,
        ]
    });
    output::data(&table::grid(
        &["id", "created_at", "host_id", "completion", "carve_size", "errored", "asked_by", "request_id"],
        rows,
    ))
}

/// How much of a carve has come.
fn completion(carve: &Carve) -> String {
    if carve.status == CarveStatus::Expired {
        return "Expired".to_owned();
    }
    format!("{}%", (carve.received_blocks * 100).checked_div(carve.block_count).unwrap_or(0))
}

/// The query that has asked for a carve, if its result has named it.
fn asked_by(carve: &Carve) -> String {
    match (carve.live_query_id, carve.query_name.as_str()) {
        (None, name) => name.to_owned(),
        (Some(id), "") => format!("live query {id}"),
        (Some(id), name) => format!("live query {id} ({name})"),
    }
}

/// The carve of a number or of a `carve_guid`.
async fn find(server: &RestClient, id: &str) -> anyhow::Result<Carve> {
    const LIST: &str = "list carves with: fleetctl get carves --expired";
    if let Ok(number) = id.parse::<u64>() {
        return match server.get::<CarveEnvelope>(&format!("carves/{number}")).await {
            Ok(found) => Ok(found.carve),
            Err(RestError::NotFound(_)) => bail!("there is no carve {number}; {LIST}"),
            Err(error) => Err(error.into()),
        };
    }
    let path = format!("carves?expired=true&carve_id={}", segment(id));
    let mut found = server.get::<CarveList>(&path).await?.carves;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => bail!("no carve {} has begun to come; agents begin within some minutes; {LIST}", output::printable(id)),
        _ => bail!("several hosts have sent a carve with this id; name one by its number; {LIST}"),
    }
}

pub async fn carve(server: &RestClient, args: CarveArgs) -> anyhow::Result<()> {
    let carve = find(server, &args.id).await?;
    if !args.stdout && args.outfile.is_none() {
        return print::items(&[PrintedDocument::new("carve", &carve)?], args.format);
    }
    match carve.status {
        CarveStatus::Complete => {}
        CarveStatus::Receiving => {
            bail!("carve {} is not complete: {} has come; try again later", carve.id, completion(&carve))
        }
        CarveStatus::Failed => {
            let why = carve.error.clone().unwrap_or_default();
            bail!("carve {} has failed: {}; carve the files again", carve.id, output::printable(&why))
        }
        CarveStatus::Expired => bail!("the contents of carve {} have expired; carve the files again", carve.id),
    }
    match &args.outfile {
        None => download(server, &carve, 0, output::bytes).await,
        Some(path) => to_file(server, &carve, path).await,
    }
}

/// Downloads into a file beside, which gets its name when all is there. One that was left by an interrupted download of the
/// same carve is gone on with, as far as its blocks are those of the carve.
async fn to_file(server: &RestClient, carve: &Carve, path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        bail!("{} is there already; remove it, or choose another --outfile", path.display());
    }
    let part = part_of(carve, path);
    let cannot = || format!("cannot write {}", part.display());
    let options = OpenOptions::new().read(true).append(true).create(true).mode(0o600).clone();
    let mut file = options.open(&part).with_context(cannot)?;
    let there = file.metadata().with_context(cannot)?.len();
    let from = if there > 0 { good_bytes(server, carve, &mut file, there).await? } else { 0 };
    if from < there {
        file.set_len(from).with_context(cannot)?;
    }
    if there > 0 {
        output::note(&format!(
            "going on after {from} of {} bytes: these are as the host has sent them",
            carve.carve_size
        ));
    }
    download(server, carve, from, |bytes| file.write_all(bytes).with_context(cannot)).await?;
    finish(&file, &part, path, size_of(carve)).with_context(cannot)?;
    output::note(&format!("[+] wrote {} ({} bytes)", path.display(), carve.carve_size));
    Ok(())
}

/// How many bytes in front of a file are whole blocks of the carve. The server says which digest each must have.
async fn good_bytes(server: &RestClient, carve: &Carve, file: &mut File, there: u64) -> anyhow::Result<u64> {
    let cannot = || "cannot read what was downloaded before".to_owned();
    file.rewind().with_context(cannot)?;
    let mut left = there.min(size_of(carve));
    let count = left.div_ceil(carve.block_size.max(1).unsigned_abs());
    let mut lines = server.lines(&format!("carves/{}/blocks?count={count}", carve.id)).await?;
    let mut good = 0;
    while let Some(line) = lines.next().await? {
        let Ok(block) = serde_json::from_slice::<CarveBlockDigest>(&line.bytes) else { break };
        if left < block.size {
            break;
        }
        left -= block.size;
        if digest(file, block.size).with_context(cannot)? != block.sha256 {
            break;
        }
        good += block.size;
    }
    Ok(good)
}

/// The SHA-256 of so many bytes of a file, in hexadecimal digits.
fn digest(file: &mut File, bytes: u64) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; AT_ONCE];
    let mut left = bytes;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(AT_ONCE));
        file.read_exact(&mut buffer[..most])?;
        hasher.update(&buffer[..most]);
        left -= most as u64;
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn finish(file: &File, part: &Path, path: &Path, size: u64) -> anyhow::Result<()> {
    file.sync_all()?;
    let there = file.metadata()?.len();
    if there != size {
        bail!("it has {there} bytes in place of {size}; remove it and try again");
    }
    Ok(fs::rename(part, path)?)
}

fn size_of(carve: &Carve) -> u64 {
    carve.carve_size.max(0).unsigned_abs()
}

/// The file of a download that is not finished. The name tells carves apart, also those of two servers.
fn part_of(carve: &Carve, path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}.part", carve.id, carve.created_at.timestamp()));
    path.with_file_name(name)
}

/// Hands on the bytes of a carve from `from` on, and begins again where a response has broken off.
async fn download(
    server: &RestClient,
    carve: &Carve,
    mut from: u64,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = format!("carves/{}/contents", carve.id);
    let mut left = ATTEMPTS;
    while from < size_of(carve) {
        let before = from;
        let copied = server
            .copy_from(&path, from, |bytes| {
                take(bytes)?;
                from += bytes.len() as u64;
                Ok(())
            })
            .await?;
        if from > before {
            left = ATTEMPTS;
            continue;
        }
        left -= 1;
        if copied || left == 0 {
            bail!("the server broke off after {from} of {} bytes; try again to go on", carve.carve_size);
        }
    }
    if from != size_of(carve) {
        bail!("the server has sent {from} bytes in place of {}", carve.carve_size);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_file_stands_beside_the_other_and_tells_carves_apart() {
        let carve: Carve = serde_json::from_str(
            r#"{"id":7,"created_at":"2026-01-15T12:00:00Z","host_id":1,"name":"","block_count":8,"block_size":1,
                "carve_size":8,"carve_id":"","request_id":"","session_id":"","expired":false,"max_block":2,
                "status":"receiving","received_blocks":3,"received_bytes":3,"completed_at":null,
                "live_query_id":4,"query_name":"logs"}"#,
        )
        .unwrap();
        assert_eq!(part_of(&carve, Path::new("dir/x.tar")), Path::new("dir/x.tar.7-1768478400.part"));
        assert_eq!(completion(&carve), "37%");
        assert_eq!(asked_by(&carve), "live query 4 (logs)");
        assert_eq!(asked_by(&Carve { query_name: String::new(), ..carve.clone() }), "live query 4");
        assert_eq!(asked_by(&Carve { live_query_id: None, ..carve }), "logs");
    }
}
