//! Carves, and their contents.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use muster_api::rest::{Carve, CarveEnvelope, CarveList, CarveStatus};

use super::print::{self, PrintedDocument};
use super::{CarveArgs, CarvesArgs};
use crate::rest::{RestClient, RestError};
use crate::{output, table};

/// How often a download that breaks off without a byte is begun again.
const ATTEMPTS: u32 = 3;

pub async fn carves(server: &RestClient, args: CarvesArgs) -> anyhow::Result<()> {
    let path = if args.expired { "carves?expired=1" } else { "carves" };
    let found = server.get::<CarveList>(path).await?.carves;
    if args.format.is_documents(false) {
        return print::items(&PrintedDocument::all("carve", &found)?, args.format);
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
            completion(&carve),
            carve.carve_size.to_string(),
            errored.to_owned(),
            carve.request_id,
        ]
    });
    output::data(&table::grid(&["id", "created_at", "completion", "carve_size", "errored", "request_id"], rows))
}

/// How much of a carve has come.
fn completion(carve: &Carve) -> String {
    if carve.status == CarveStatus::Expired {
        return "Expired".to_owned();
    }
    format!("{}%", (carve.received_blocks * 100).checked_div(carve.block_count).unwrap_or(0))
}

pub async fn carve(server: &RestClient, args: CarveArgs) -> anyhow::Result<()> {
    let carve = match server.get::<CarveEnvelope>(&format!("carves/{}", args.id)).await {
        Ok(found) => found.carve,
        Err(RestError::NotFound(_)) => bail!("there is no carve {}; list carves with: fleetctl get carves", args.id),
        Err(error) => return Err(error.into()),
    };
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
/// same carve is gone on with.
async fn to_file(server: &RestClient, carve: &Carve, path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        bail!("{} is there already; remove it, or choose another --outfile", path.display());
    }
    let part = part_of(carve, path);
    let cannot = || format!("cannot write {}", part.display());
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&part).with_context(cannot)?;
    let mut from = file.metadata().with_context(cannot)?.len();
    if from > size_of(carve) {
        file.set_len(0).with_context(cannot)?;
        from = 0;
    }
    if from > 0 {
        output::note(&format!("going on after {from} of {} bytes", carve.carve_size));
    }
    download(server, carve, from, |bytes| file.write_all(bytes).with_context(cannot)).await?;
    finish(&file, &part, path, size_of(carve)).with_context(cannot)?;
    output::note(&format!("[+] wrote {} ({} bytes)", path.display(), carve.carve_size));
    Ok(())
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
                "status":"receiving","received_blocks":3,"received_bytes":3,"completed_at":null}"#,
        )
        .unwrap();
        assert_eq!(part_of(&carve, Path::new("dir/x.tar")), Path::new("dir/x.tar.7-1768478400.part"));
        assert_eq!(completion(&carve), "37%");
    }
}
