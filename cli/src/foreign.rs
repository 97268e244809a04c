//! Commands of Fleet's fleetctl that this one does not have, and what to do instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Words of commands, and what to do instead.
const COMMANDS: [(&[&str], &str); 13] = [
    (&["gitops"], "apply the folder with the files: fleetctl apply -f DIRECTORY, and look before with --dry-run"),
    (
        &["generate-gitops"],
        "write what the server has as documents: fleetctl get packs --with-queries --yaml, and the same for labels, config and others",
    ),
    (
        &["teams", "team", "fleets", "fleet"],
        "there are no teams here; a label of their hosts takes their place, and a pack with that label as target",
    ),
    (&["transfer"], "there are no teams here; put hosts into a manual label, and apply that"),
    (
        &["policies", "policy"],
        "there are no policies here; schedule their SQL in a pack, or ask it now: fleetctl query --labels 'All Hosts' --query SQL",
    ),
    (
        &["software", "vulnerability", "vulnerabilities", "vulnerability-data-stream"],
        "there is no software inventory here; ask hosts for their packages: fleetctl query --labels 'All Hosts' --query SQL",
    ),
    (
        &["package"],
        "there are no installers here; install osquery's own package with a flagfile, as docs/enroll.md shows",
    ),
    (&["updates"], "agents are not updated from here; leave that to the package manager of their hosts"),
    (&["goquery"], "ask a host with: fleetctl query --hosts HOST --query SQL"),
    (&["upgrade-packs"], "packs stay what they are here; nothing is to be done"),
    (&["trigger"], "the tasks of the server run by themselves; see when with: fleetctl debug archive"),
    (&["run-script", "scripts"], "no scripts are run on hosts from here; leave that to another tool"),
    (
        &[
            "generate",
            "mdm",
            "mdm-apple",
            "mdm_apple",
            "mdm-apple-bm",
            "mdm_apple_bm",
            "mdm-commands",
            "mdm-command-results",
        ],
        "devices are not managed here; leave that to another tool",
    ),
];

/// One line that says what to do in place of the command that is not there, if it is one of Fleet's.
pub fn instead_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let known = COMMANDS.iter().find(|(words, _)| words.contains(&word.as_str()));
    let (_, instead) = known.filter(|_| error.kind() == ErrorKind::InvalidSubcommand)?;
    Some(format!("{word:?} is a command of Fleet's that is not here: {instead}"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::args::Cli;

    #[test]
    fn commands_of_fleet_have_a_line_and_others_have_none() {
        let line = |words: &[&str]| {
            let error = Cli::try_parse_from([&["fleetctl"], words].concat()).err().unwrap();
            instead_of(&error)
        };
        for (words, part) in [
            (&["gitops", "-f", "default.yml"][..], "fleetctl apply -f DIRECTORY"),
            (&["get", "teams"], "there are no teams here"),
            (&["hosts", "transfer", "--team", "x"], "a manual label"),
            (&["vulnerability-data-stream", "--dir", "x"], "no software inventory"),
        ] {
            let line = line(words).unwrap();
            assert!(line.contains(part) && !line.contains('\n'), "{line}");
        }
        for words in [&["gitopps"][..], &["get", "nothing"], &["apply", "--gitops"]] {
            assert_eq!(line(words), None, "{words:?}");
        }
    }

    #[test]
    fn none_of_them_is_a_command_here() {
        fn all(command: &clap::Command) -> Vec<String> {
            let below = command.get_subcommands().flat_map(all);
            command
                .get_name_and_visible_aliases()
                .into_iter()
                .chain(command.get_all_aliases())
                .map(str::to_owned)
                .chain(below)
                .collect()
        }
        let own = all(&Cli::command());
        for word in COMMANDS.iter().flat_map(|(words, _)| *words) {
            assert!(!own.iter().any(|own| own == word), "{word}");
        }
    }
}
