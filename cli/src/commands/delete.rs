use std::fmt::Write;

use muster_api::rest::{Action, Applied};

use super::ClientSession;
use super::send::{self, FileArgs, SendWish, SpecOperation};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  # Show what would be deleted
  fleetctl delete -f old-packs.yml --dry-run

  # Delete the queries, packs and labels of a directory
  fleetctl delete -f old-packs/";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    files: FileArgs,
    /// Show what would change without changing anything
    #[arg(long)]
    dry_run: bool,
    /// Delete nothing if more than N objects would be deleted
    #[arg(long, value_name = "N")]
    max_deletes: Option<u64>,
}

pub async fn run(session: &ClientSession, args: Args) -> anyhow::Result<()> {
    let Some(documents) = args.files.read(SpecOperation::Delete)? else {
        return Ok(());
    };
    let wish = SendWish { dry_run: args.dry_run, max_deletes: args.max_deletes, ..SendWish::default() };
    let server = session.authenticated().await?;
    let deleted = send::send(&server, SpecOperation::Delete, &documents, wish).await?;
    output::data(&render(&deleted))
}

/// One line per document: what was deleted, or would be.
fn render(deleted: &Applied) -> String {
    let deleting = if deleted.dry_run { "would've deleted" } else { "deleting" };
    let mut text = String::new();
    for change in &deleted.changes {
        let (kind, name) = (&change.kind, &change.name);
        let _ = match change.action {
            Action::Ignored if name.is_empty() => {
                writeln!(text, "[!] ignoring {kind}: only queries, packs and labels can be deleted")
            }
            Action::Ignored => writeln!(text, "[!] ignoring {kind} {name:?}: it cannot be deleted"),
            Action::Absent => writeln!(text, "[!] {kind} {name:?} doesn't exist"),
            _ => writeln!(text, "[+] {deleting} {kind} {name:?}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use muster_api::rest::Change;

    use super::*;

    #[test]
    fn every_document_has_a_line() {
        let change = |kind: &str, name: &str, action| Change {
            kind: kind.to_owned(),
            name: name.to_owned(),
            action,
            ..Change::default()
        };
        let changes = vec![
            change("query", "x", Action::Deleted),
            change("pack", "y\n", Action::Absent),
            change("config", "", Action::Ignored),
        ];
        let mut deleted = Applied { changes, ..Applied::default() };
        assert_eq!(
            render(&deleted),
            "[+] deleting query \"x\"\n\
             [!] pack \"y\\n\" doesn't exist\n\
             [!] ignoring config: only queries, packs and labels can be deleted\n"
        );
        deleted.dry_run = true;
        assert!(render(&deleted).starts_with("[+] would've deleted query \"x\"\n"));
    }
}
