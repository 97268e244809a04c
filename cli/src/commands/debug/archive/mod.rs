//! `fleetctl debug archive`: collects first, so that questions can be asked later. Nothing that fails stops the rest.

mod collect;
mod items;
mod manifest;
mod nodes;
mod progress;
mod writer;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};

use self::collect::{Collected, Collection, NotCollected, planned};
use self::items::ITEMS;
use self::nodes::Found;
use self::progress::ArchiveProgress;
use self::writer::ArchiveWriter;
use super::facts::NodeRuntime;
use super::fetch::{Written, warn_of_content};
use super::{file_name, now};
use crate::commands::ClientSession;
use crate::commands::stop_signal::StopSignal;

pub use self::manifest::{FORMAT, MANIFEST, Manifest, ManifestEntry, ManifestFailure, ManifestNode};
pub use self::writer::hex;

const EXAMPLES: &str = "\
Examples:
  # Collect from the node that answers; takes some 40 seconds
  fleetctl debug archive

  # Collect from all nodes, with a shorter profile
  fleetctl debug archive --all-nodes --profile-seconds 10 --outfile trouble.tar.gz

  # Collect from two nodes that no load balancer leads to
  fleetctl debug archive --node-address https://10.0.0.7:8080 --node-address https://10.0.0.8:8080";

/// Most bytes of all answers, which are held in memory until the file is written.
const MAX_BYTES: usize = 512 << 20;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// File to write [default: fleet-profiles-archive-TIME.tar.gz in the current directory]
    #[arg(short, long, env = "OUTFILE", hide_env_values = true, value_name = "FILE")]
    outfile: Option<PathBuf>,
    /// Seconds of the CPU profile; everything but the memory is collected meanwhile
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=120))]
    profile_seconds: u16,
    /// Collect from all nodes, also those that another node answers for
    #[arg(long)]
    all_nodes: bool,
    /// URL of a node, if the address of the context does not lead to it; can be repeated
    #[arg(long, value_name = "URL")]
    node_address: Vec<String>,
}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    let started_at = now();
    let mut stop = StopSignal::listen()?;
    let path = args.outfile.clone().unwrap_or_else(|| file_name("profiles-archive", ".tar.gz").into());
    if path.exists() {
        bail!("{} exists already; name another one, or remove it", path.display());
    }
    // A folder that cannot be written to is found out before anything is measured.
    let writer = ArchiveWriter::create(&path)?;
    let found = tokio::select! {
        found = nodes::find(session, &args.node_address, args.all_nodes) => found?,
        () = stop.requested() => bail!("stopped before anything was collected"),
    };
    let progress = ArchiveProgress::start(planned(&found.asked).len());
    for node in &found.missed {
        let problem = node.problem.as_deref().unwrap_or_default();
        if node.id.is_empty() {
            progress.print(&format!("Missed {problem}"));
        } else {
            progress.print(&format!("Missed node {}: {problem}", node.id));
        }
    }
    let mut collection = Collection::start(&found.asked, args.profile_seconds);
    let mut collected = Vec::new();
    let mut bytes = 0;
    let interrupted = loop {
        let mut one = tokio::select! {
            one = collection.next() => match one {
                Some(one) => one,
                None => break false,
            },
            () = stop.requested() => break true,
        };
        bytes += one.outcome.as_ref().map_or(0, Vec::len);
        if bytes > MAX_BYTES {
            let reason = format!("all answers have more than {} MiB", MAX_BYTES >> 20);
            one.outcome = Err(NotCollected::failed(reason));
        }
        progress.ended(&one);
        collected.push(one);
    };
    drop(collection);
    progress.finish();
    if !collected.iter().any(|one| one.outcome.is_ok()) {
        bail!("nothing was collected; is /debug served at {}? (server.debug_address)", found.address);
    }
    let manifest = manifest(&found, collected.as_mut_slice(), started_at, args.profile_seconds, interrupted);
    write(writer, &path, &collected, &manifest)?;
    warn_of_content(Written::Archive, &path);
    if interrupted {
        bail!("stopped before the end; the archive has what was collected until then");
    }
    Ok(())
}

/// Sorts what was collected into its order, and says what it is.
fn manifest(
    found: &Found,
    collected: &mut [Collected],
    started_at: DateTime<Utc>,
    profile_seconds: u16,
    interrupted: bool,
) -> Manifest {
    let order = |one: &Collected| {
        let node = found.asked.iter().position(|node| node.folder == one.node.folder);
        (node, ITEMS.iter().position(|item| item == one.item))
    };
    collected.sort_by_key(order);
    let version_of = |folder: &str| {
        let runtime = collected.iter().find(|one| one.item.name == "runtime" && one.node.folder == folder);
        let bytes = runtime.and_then(|one| one.outcome.as_deref().ok());
        bytes.and_then(|bytes| serde_json::from_slice::<NodeRuntime>(bytes).ok()).unwrap_or_default().version
    };
    let asked = found.asked.iter().map(|node| ManifestNode {
        id: node.id.clone(),
        version: version_of(&node.folder),
        folder: node.folder.clone(),
        problem: None,
    });
    let nodes = asked.chain(found.missed.iter().cloned()).collect();
    let (mut entries, mut failures) = (Vec::new(), Vec::new());
    for one in &*collected {
        let (name, node) = (one.name(), one.node.id.clone());
        let Collected { started_at, ended_at, .. } = *one;
        match &one.outcome {
            Ok(bytes) => {
                let sha256 = writer::sha256(bytes);
                entries.push(ManifestEntry { name, node, started_at, ended_at, bytes: bytes.len() as u64, sha256 });
            }
            Err(NotCollected { reason, is_absent }) => {
                let (reason, is_absent) = (reason.clone(), *is_absent);
                failures.push(ManifestFailure { name, node, started_at, ended_at, reason, is_absent });
            }
        }
    }
    let ended_at = now();
    let is_there = |name: &str| collected.iter().any(|one| one.name() == name);
    let missing = planned(&found.asked).into_iter().filter(|(node, item)| !is_there(&name(&node.folder, item)));
    failures.extend(missing.map(|(node, item)| ManifestFailure {
        name: name(&node.folder, item),
        node: node.id.clone(),
        started_at: ended_at,
        ended_at,
        reason: "the collection was stopped".to_owned(),
        is_absent: false,
    }));
    Manifest {
        format: FORMAT,
        client_version: env!("CARGO_PKG_VERSION").to_owned(),
        address: found.address.clone(),
        started_at,
        ended_at,
        profile_seconds,
        interrupted,
        nodes,
        entries,
        failures,
    }
}

fn write(
    mut writer: ArchiveWriter,
    path: &std::path::Path,
    all: &[Collected],
    manifest: &Manifest,
) -> anyhow::Result<()> {
    for one in all {
        if let Ok(bytes) = &one.outcome {
            writer.add(&one.name(), bytes, one.ended_at)?;
        }
    }
    let text = serde_json::to_vec_pretty(manifest).context("cannot write the manifest")?;
    writer.add(MANIFEST, &text, manifest.ended_at)?;
    writer.finish(path)
}

impl Collected {
    /// The path of the entry below the name of the archive.
    fn name(&self) -> String {
        name(&self.node.folder, self.item)
    }
}

fn name(folder: &str, item: &items::Item) -> String {
    format!("{folder}{}", item.file_name())
}
