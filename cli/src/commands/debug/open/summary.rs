//! What `open` prints.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::findings::{self, Finding, Gravity, NodeEntries, metric};
use super::pprof::{self, FunctionShare, ProfileTop};
use super::reader::Contents;
use crate::commands::costs;
use crate::commands::debug::archive::{Manifest, ManifestFailure, ManifestNode};
use crate::commands::debug::facts::NodeRuntime;
use crate::commands::query::shown_seconds;

/// What an archive shows.
#[derive(Serialize)]
pub struct Summary<'a> {
    archive: String,
    /// `None` if another program made the archive, or its end is missing.
    manifest: Option<ManifestHead<'a>>,
    nodes: Vec<NodeSummary>,
    not_collected: &'a [ManifestFailure],
    pub faults: &'a [String],
    findings: Vec<Finding>,
}

/// Who has made the archive, when and of what.
#[derive(Serialize)]
struct ManifestHead<'a> {
    client_version: &'a str,
    address: &'a str,
    started_at: chrono::DateTime<chrono::Utc>,
    ended_at: chrono::DateTime<chrono::Utc>,
    interrupted: bool,
}

/// A node of the archive.
#[derive(Serialize)]
struct NodeSummary {
    id: String,
    /// Why it was not asked.
    problem: Option<String>,
    version: String,
    uptime_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    /// By status, as the node knows them.
    hosts: Vec<(String, f64)>,
    entries: usize,
    cpu: Option<ProfileTop>,
    memory: Option<ProfileTop>,
}

impl<'a> Summary<'a> {
    pub fn of(archive: &Path, contents: &'a Contents) -> Self {
        let nodes = nodes(contents);
        let asked = || nodes.iter().filter(|node| node.problem.is_none());
        let mut found: Vec<_> =
            asked().flat_map(|node| findings::of_node(&contents.entries, &node.folder, &node.id)).collect();
        found.sort_by_key(|finding| finding.gravity);
        let manifest = contents.manifest.as_ref();
        Self {
            archive: archive.display().to_string(),
            manifest: manifest.map(ManifestHead::of),
            nodes: nodes.iter().map(|node| NodeSummary::of(contents, node)).collect(),
            not_collected: manifest.map(|manifest| manifest.failures.as_slice()).unwrap_or_default(),
            faults: &contents.faults,
            findings: found,
        }
    }

    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.archive);
        match &self.manifest {
            Some(head) => {
                let stopped = if head.interrupted { "; stopped before the end" } else { "" };
                let _ = writeln!(
                    text,
                    "  collected from {} at {} by fleetctl {}, in {} s{stopped}",
                    head.address,
                    head.started_at.format("%Y-%m-%d %H:%M:%S UTC"),
                    head.client_version,
                    (head.ended_at - head.started_at).num_seconds()
                );
            }
            None => text.push_str(
                "  has no manifest.json: another program has made it, or its end is missing; checksums cannot be verified\n",
            ),
        }
        for node in &self.nodes {
            let _ = writeln!(text, "  {}", node.line());
        }
        let absent = absent(self.not_collected);
        if !absent.is_empty() {
            let _ = writeln!(text, "  not here: {}", absent.replace('\n', " "));
        }
        section(&mut text, "Faults of the archive", self.faults.iter().map(String::clone));
        let failed = self.not_collected.iter().filter(|failure| !failure.is_absent);
        let failed = failed.map(|failure| format!("{}: {}", failure.name, failure.reason));
        section(&mut text, "Not collected", failed);
        let several = self.nodes.len() > 1;
        section(&mut text, "Findings", self.findings.iter().map(|finding| line(finding, several)));
        if self.findings.is_empty() {
            text.push_str("\nNothing stands out.\n");
        }
        for node in &self.nodes {
            let id = if several { node.id.as_str() } else { "" };
            for (what, top) in [("Processor time", &node.cpu), ("Memory in use", &node.memory)] {
                if let Some(top) = top {
                    functions(&mut text, what, id, top);
                }
            }
        }
        text
    }
}

/// What cannot exist at this server, in one line: names by why.
fn absent(failures: &[ManifestFailure]) -> String {
    let mut by_reason = Vec::<(&str, Vec<&str>)>::new();
    for failure in failures.iter().filter(|failure| failure.is_absent) {
        match by_reason.iter_mut().find(|(reason, _)| *reason == failure.reason) {
            Some((_, names)) => names.push(&failure.name),
            None => by_reason.push((&failure.reason, vec![&failure.name])),
        }
    }
    let parts: Vec<_> = by_reason.iter().map(|(reason, names)| format!("{} ({reason})", names.join(", "))).collect();
    parts.join("; ")
}

impl<'a> ManifestHead<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        Self {
            client_version: &manifest.client_version,
            address: &manifest.address,
            started_at: manifest.started_at,
            ended_at: manifest.ended_at,
            interrupted: manifest.interrupted,
        }
    }
}

/// The nodes that the manifest names; without one, whoever made the archive.
fn nodes(contents: &Contents) -> Vec<ManifestNode> {
    match &contents.manifest {
        Some(manifest) => manifest.nodes.clone(),
        None => {
            let folders = contents.entries.keys().filter_map(|name| {
                let (id, _) = name.strip_prefix("nodes/")?.split_once('/')?;
                Some(format!("nodes/{id}/"))
            });
            let mut folders: Vec<_> = [String::new()].into_iter().chain(folders).collect();
            folders.dedup();
            let node = |folder: String| {
                let id = folder.strip_prefix("nodes/").map(|id| id.trim_end_matches('/').to_owned());
                ManifestNode { id: id.unwrap_or_default(), version: String::new(), folder, problem: None }
            };
            folders.into_iter().map(node).collect()
        }
    }
}

impl NodeSummary {
    fn of(contents: &Contents, node: &ManifestNode) -> Self {
        let mut entries = NodeEntries::new(&contents.entries, &node.folder);
        let is_asked = node.problem.is_none();
        let runtime = if is_asked { entries.json::<NodeRuntime>("runtime.json") } else { None };
        let metrics = entries.text("metrics.txt").filter(|_| is_asked).unwrap_or_default();
        let hosts = metric(&metrics, "muster_hosts").into_iter();
        let own = |name: &&String| match node.folder.as_str() {
            "" => !name.starts_with("nodes/"),
            folder => name.starts_with(folder),
        };
        let profile = |name: &str| entries.bytes(name).filter(|_| is_asked).and_then(|bytes| pprof::top(bytes).ok());
        let (cpu, memory) = (profile("profile.prof"), profile("heap.prof"));
        let known = runtime.as_ref();
        Self {
            id: node.id.clone(),
            problem: node.problem.clone(),
            version: known.map_or_else(|| node.version.clone(), |runtime| runtime.version.clone()),
            uptime_seconds: known.map(|runtime| runtime.uptime_seconds),
            resident_bytes: known.map(|runtime| runtime.memory.process_resident.max(runtime.memory.resident)),
            hosts: hosts.map(|(labels, count)| (labels.split('"').nth(1).unwrap_or("").to_owned(), count)).collect(),
            entries: if is_asked { contents.entries.keys().filter(own).count() } else { 0 },
            cpu,
            memory,
        }
    }

    fn line(&self) -> String {
        let id = if self.id.is_empty() { "of unknown id" } else { &self.id };
        if let Some(problem) = &self.problem {
            return format!("node {id}: not asked: {problem}");
        }
        let mut parts = vec![format!("node {id}: {} entries", self.entries)];
        if !self.version.is_empty() {
            parts.push(format!("version {}", self.version));
        }
        parts.extend(self.uptime_seconds.map(|seconds| format!("up for {}", shown_seconds(seconds as i64))));
        parts.extend(self.resident_bytes.map(|bytes| format!("{} of memory", costs::bytes(bytes as f64))));
        if !self.hosts.is_empty() {
            let hosts: Vec<_> = self.hosts.iter().map(|(status, count)| format!("{count} {status}")).collect();
            parts.push(format!("hosts: {}", hosts.join(", ")));
        }
        parts.join(", ")
    }
}

fn line(finding: &Finding, names_node: bool) -> String {
    let gravity = match finding.gravity {
        Gravity::Problem => "PROBLEM",
        Gravity::Warning => "WARNING",
        Gravity::Note => "note   ",
    };
    let node = if names_node && !finding.node.is_empty() { format!(" of {}", finding.node) } else { String::new() };
    format!("{gravity} {}{node}: {}", finding.entry, finding.text)
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<_> = lines.map(|line| format!("  {}\n", line.replace('\n', " "))).collect();
    if !lines.is_empty() {
        let _ = write!(text, "\n{title} ({}):\n{}", lines.len(), lines.concat());
    }
}

/// The functions in which most was measured.
fn functions(text: &mut String, what: &str, node: &str, top: &ProfileTop) {
    let of = if node.is_empty() { String::new() } else { format!(" of {node}") };
    let amount = |value: i64| match top.unit.as_str() {
        "nanoseconds" => format!("{:.2} s", value as f64 / 1e9),
        "bytes" => costs::bytes(value as f64),
        unit => format!("{value} {unit}"),
    };
    let total = amount(top.total);
    let own = if top.of_collection > 0 {
        format!(", of it {} for the collection itself", amount(top.of_collection))
    } else {
        String::new()
    };
    let during = if top.seconds > 0.0 { format!(" in {:.0} s", top.seconds) } else { String::new() };
    let _ = writeln!(text, "\n{what}{of}: {total}{during}{own}");
    for (title, functions) in
        [("in a function itself, with the runtimes that it calls", &top.by_self), ("with what it calls", &top.by_all)]
    {
        let _ = writeln!(text, "  {title}:");
        for FunctionShare { function, share, .. } in functions {
            let _ = writeln!(text, "    {:5.1} %  {}", share * 100.0, function.replace('\n', " "));
        }
    }
}
