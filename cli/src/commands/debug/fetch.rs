//! Single items, each written to a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ArgAction;
use clap::builder::FalseyValueParser;

use super::asked::NodeArgs;
use super::file_name;
use crate::commands::ClientSession;
use crate::{output, private_file};

/// Time that an answer may take after it was measured.
const AFTER_MEASURING: Duration = Duration::from_secs(20);

/// An item that is written to a file as it comes.
#[derive(Clone, Copy)]
pub struct FileItem {
    /// Below `/debug/`.
    path: &'static str,
    /// What the file is named after.
    name: &'static str,
    ending: &'static str,
}

const fn prof(path: &'static str, name: &'static str) -> FileItem {
    FileItem { path, name, ending: ".prof" }
}

/// Fleet gives these files no ending.
const fn of_database(path: &'static str, name: &'static str) -> FileItem {
    FileItem { path, name, ending: "" }
}

pub const HEAP: FileItem = prof("pprof/heap", "heap");
pub const TASKS: FileItem = prof("pprof/goroutine", "goroutine");
pub const DB_LOCKS: FileItem = of_database("db/locks", "db-locks");
pub const DB_INNODB_STATUS: FileItem = of_database("db/innodb-status", "db-innodb-status");
pub const DB_PROCESS_LIST: FileItem = of_database("db/process-list", "db-process-list");

#[derive(clap::Args)]
pub struct ItemArgs {
    /// File to write [default: fleet-NAME-TIME in the current directory]
    #[arg(short, long, env = "OUTFILE", hide_env_values = true, value_name = "FILE")]
    outfile: Option<PathBuf>,
    /// Print the answer instead of writing a file
    #[arg(long, env = "STDOUT", hide_env_values = true, action = ArgAction::SetTrue,
          value_parser = FalseyValueParser::new(), conflicts_with = "outfile")]
    stdout: bool,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(clap::Args)]
pub struct ProfileArgs {
    /// Seconds to measure
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=120))]
    seconds: u16,
    #[command(flatten)]
    file: ItemArgs,
}

#[derive(clap::Args)]
pub struct TraceArgs {
    /// Seconds to record
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10))]
    seconds: u16,
    #[command(flatten)]
    file: ItemArgs,
}

#[derive(clap::Args)]
pub struct ErrorArgs {
    /// Also let the server forget the errors
    #[arg(long)]
    flush: bool,
    #[command(flatten)]
    file: ItemArgs,
}

#[derive(clap::Args)]
pub struct CmdlineArgs {
    /// File to write instead of printing
    #[arg(short, long, env = "OUTFILE", hide_env_values = true, value_name = "FILE")]
    outfile: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
}

pub async fn profile(session: &ClientSession, args: &ProfileArgs) -> anyhow::Result<()> {
    let path = format!("pprof/profile?seconds={}", args.seconds);
    output::note(&format!("Measuring for {} s", args.seconds));
    measured(session, &path, "profile", args.seconds, &args.file).await
}

pub async fn trace(session: &ClientSession, args: &TraceArgs) -> anyhow::Result<()> {
    let path = format!("pprof/trace?seconds={}", args.seconds);
    measured(session, &path, "trace", args.seconds, &args.file).await
}

async fn measured(
    session: &ClientSession,
    path: &str,
    name: &str,
    seconds: u16,
    args: &ItemArgs,
) -> anyhow::Result<()> {
    let limit = Duration::from_secs(seconds.into()) + AFTER_MEASURING;
    let answer = args.node.get_within(session, path, limit).await?;
    args.keep(&answer.bytes, name, ".prof").map(drop)
}

pub async fn file(session: &ClientSession, item: FileItem, args: &ItemArgs) -> anyhow::Result<()> {
    let answer = args.node.get(session, item.path).await?;
    if item.path == DB_LOCKS.path && is_empty_list(&answer.bytes) {
        output::note("nobody waits for a row lock now");
    }
    args.keep(&answer.bytes, item.name, item.ending).map(drop)
}

pub async fn errors(session: &ClientSession, args: &ErrorArgs) -> anyhow::Result<()> {
    let path = if args.flush { "errors?flush=true" } else { "errors" };
    let answer = args.file.node.get(session, path).await?;
    if !args.file.stdout && is_empty_list(&answer.bytes) {
        output::note("no errors since the start");
        return Ok(());
    }
    if let Some(written) = args.file.keep(&answer.bytes, "errors", ".json")? {
        warn_of_content(Written::ErrorFile, &written);
    }
    Ok(())
}

pub async fn cmdline(session: &ClientSession, args: &CmdlineArgs) -> anyhow::Result<()> {
    let answer = args.node.get(session, "pprof/cmdline").await?;
    let words = String::from_utf8_lossy(&answer.bytes);
    let words: Vec<_> = words.trim_end_matches('\0').split('\0').map(|word| format!("'{word}'")).collect();
    let line = format!("[{}]", output::printable(&words.join(", ")));
    match &args.outfile {
        Some(path) => write(path, format!("{line}\n").as_bytes()),
        None => output::line(&line),
    }
}

impl ItemArgs {
    /// Prints the answer, or writes it to a file and gives its path.
    fn keep(&self, bytes: &[u8], name: &str, ending: &str) -> anyhow::Result<Option<PathBuf>> {
        if self.stdout {
            output::bytes(bytes)?;
            return Ok(None);
        }
        let path = self.outfile.clone().unwrap_or_else(|| file_name(name, ending).into());
        write(&path, bytes)?;
        Ok(Some(path))
    }
}

/// Whether an answer is a JSON list of nothing.
pub fn is_empty_list(bytes: &[u8]) -> bool {
    bytes.trim_ascii() == b"[]"
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    private_file::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    output::note(&format!("Output written to {}", path.display()));
    Ok(())
}

/// What a warning is about.
#[derive(Clone, Copy)]
pub enum Written {
    Archive,
    ErrorFile,
}

/// Says that a file is to be read before it is given to others, in the words of Fleet.
pub fn warn_of_content(written: Written, path: &Path) {
    let frame = "#".repeat(80);
    let (content, them, name) = match written {
        Written::Archive => ("The files in the generated archive", "them", "Archive"),
        Written::ErrorFile => ("The generated file", "it", "Output"),
    };
    output::note(&format!(
        "{frame}\n# WARNING:\n#   {content} may contain sensitive data.\n#   Please review {them} before sharing.\n#\n#   \
         {name} written to: {}\n{frame}",
        path.display()
    ));
}
