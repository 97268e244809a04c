//! `fleetctl convert`: turns osquery pack files into documents.

mod clean;
mod field;
mod file;
mod names;
mod pack;
mod tree;

use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::to_value;

use self::field::PackReader;
use self::file::PackFile;
use self::names::Conversion;
use self::pack::ParsedPack;
use super::send::refused;
use crate::documents::{DocumentProblem, document};
use crate::{files, output};

const EXTENSIONS: [&str; 2] = ["conf", "json"];
/// Maximum number of names listed; the rest are counted.
const NAMES_SHOWN: usize = 10;

const EXAMPLES: &str = "\
Examples:
  # Convert one pack file
  fleetctl convert -f osquery-monitoring.conf -o osquery-monitoring.yml

  # Convert a directory of packs, with query names prefixed by their pack
  fleetctl convert -f packs/ --prefix-names -o packs.yml

After converting, set targets.labels of each pack and run fleetctl apply.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Pack file, directory of .conf and .json files, or - for standard input; can be repeated
    #[arg(short = 'f', value_name = "FILE", env = "FILENAME", hide_env_values = true)]
    files: Vec<PathBuf>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the output file if it exists
    #[arg(long, requires = "output")]
    force: bool,
    /// Name of the pack [default: the file name without its extension]
    #[arg(long)]
    name: Option<String>,
    /// Name every query PACK/NAME, so that packs do not share queries
    #[arg(long)]
    prefix_names: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.files.is_empty() {
        bail!("-f must be specified: a pack file, a directory of pack files, or - for standard input");
    }
    let read = files::read(&args.files, &EXTENSIONS)?;
    read.note_skipped(&EXTENSIONS);
    if args.name.is_some() && read.texts.len() > 1 {
        bail!("--name applies to one file, but {} are given", read.texts.len());
    }
    let mut packs = Vec::new();
    let mut problems: Vec<_> = read.unread.iter().map(|error| DocumentProblem::general(format!("{error:#}"))).collect();
    for (file, text) in read.texts {
        let name = pack_name(&file, args.name.as_deref())?;
        match read_packs(&file, &name, text) {
            Ok(found) => packs.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(refused(&problems, "converted"));
    }
    let converted = names::resolve(packs, args.prefix_names).map_err(|reasons| {
        let problems: Vec<_> = reasons.into_iter().map(DocumentProblem::general).collect();
        refused(&problems, "converted")
    })?;
    if converted.packs.is_empty() {
        output::note("no packs found, nothing to convert");
        return Ok(());
    }
    let text = render(&converted)?;
    match &args.output {
        Some(path) => write(path, &text, args.force)?,
        None => output::data(&text)?,
    }
    explain(&converted);
    Ok(())
}

fn pack_name(file: &str, name: Option<&str>) -> anyhow::Result<String> {
    match (name, Path::new(file).file_stem()) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, Some(stem)) if file != files::STDIN => Ok(stem.to_string_lossy().into_owned()),
        _ => bail!("a pack from standard input needs a name; set it with --name"),
    }
}

/// Reads the packs of a file and prints warnings about what is left out.
fn read_packs(file: &str, name: &str, text: String) -> Result<Vec<ParsedPack>, Vec<DocumentProblem>> {
    let file = PackFile::read(file, text).map_err(|problem| vec![problem])?;
    let mut reader = PackReader::new(&file);
    let packs = reader.packs(name);
    for warning in &reader.warnings {
        output::note(&warning.to_string());
    }
    if reader.problems.is_empty() { Ok(packs) } else { Err(reader.problems) }
}

fn render(converted: &Conversion) -> anyhow::Result<String> {
    let mut text = String::new();
    for pack in &converted.packs {
        text.push_str(&document("pack", &to_value(pack)?)?);
    }
    for query in &converted.queries {
        text.push_str(&document("query", &to_value(query)?)?);
    }
    Ok(text)
}

fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let shown = path.display();
    let opened = if force { fs::File::create(path) } else { fs::File::create_new(path) };
    let mut file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{shown} exists; overwrite it with --force")
        }
        opened => opened.with_context(|| format!("cannot write {shown}"))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {shown}"))
}

/// Prints what was converted and what remains to do.
fn explain(converted: &Conversion) {
    let mut text = String::new();
    if !converted.ambiguous.is_empty() {
        let shown: Vec<_> = converted.ambiguous.iter().take(NAMES_SHOWN).map(|name| format!("{name:?}")).collect();
        let more = converted.ambiguous.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(
            text,
            "Queries with the same name but different SQL are named PACK/NAME: {}{more}",
            shown.join(", ")
        );
    }
    for pack in &converted.packs {
        let _ = writeln!(text, "pack {:?}: {} queries, no targets yet", pack.name, pack.queries.len());
    }
    text.push_str("Set targets.labels of each pack before applying, for example to: [All Hosts]");
    output::note(&text);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
