//! `loadtest`: load on a server, and what became of it.

use std::{
    fs::File,
    io::{BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use loadtest::load::{self, BadOptions, Ledger, Options};
use serde_json::{Value, json};

/// Simulated osquery agents by the hundred thousand, and an account of every log line.
///
/// Exit code: 0 all good, 1 a threshold was passed, 2 bad input or no run.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Let agents work on a server, and measure it.
    ///
    /// `muster serve` on a fresh database and `loadtest run --insecure --setup` need nothing else.
    Run(Box<Options>),
    /// Compare a server's log files with what it had acknowledged.
    Verify(Verify),
}

#[derive(Args)]
struct Verify {
    /// Ledger of a run; repeat it for runs of several processes.
    #[arg(long, value_name = "FILE", required = true)]
    ledger: Vec<PathBuf>,
    /// Result and status logs of the server, rotated ones too, in any order.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    destination: Vec<PathBuf>,
    /// Fail on more lines lost.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_lost: u64,
    /// Fail on more lines doubled.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_doubled: u64,
    /// Write what was found as JSON; - is stdout.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(options) => run(&options),
        Command::Verify(arguments) => verify(&arguments),
    };
    match result {
        Ok(failed) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(failed) => {
            for threshold in failed {
                say(&format!("FAILED {threshold}"));
            }
            ExitCode::from(1)
        }
        Err(error) => {
            match error.downcast_ref::<BadOptions>() {
                Some(BadOptions(problems)) => problems.iter().for_each(|problem| say(&format!("error: {problem}"))),
                None => say(&format!("error: {error:#}")),
            }
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = |line: &str| {
        if !options.quiet {
            say(line);
        }
    };
    let report = runtime.block_on(load::run(options, &say, &progress))?;
    if !options.quiet {
        say(&format!("\n{}", report.table()));
    }
    if let Some(path) = &options.json {
        write_json(path, &report.json())?;
    }
    Ok(report.failed)
}

fn verify(arguments: &Verify) -> anyhow::Result<Vec<String>> {
    let mut ledgers = Vec::new();
    for path in &arguments.ledger {
        let context = || format!("--ledger {}", path.display());
        let file = File::open(path).with_context(context)?;
        ledgers.push(Ledger::read(BufReader::new(file)).with_context(context)?);
    }
    let verified = load::verify(ledgers, &arguments.destination)?;
    say(verified.text().trim_end());
    for (what, tags) in [("lost", &verified.examples.lost), ("doubled", &verified.examples.doubled)] {
        for tag in tags {
            say(&format!("  {what} {tag}"));
        }
    }
    let failed = verified.failures(arguments.max_lost, arguments.max_doubled);
    if let Some(path) = &arguments.json {
        let mut value = serde_json::to_value(&verified)?;
        value["failed"] = json!(failed);
        write_json(path, &value)?;
    }
    Ok(failed)
}

fn write_json(path: &Path, value: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    if path.as_os_str() == "-" {
        std::io::stdout().write_all(text.as_bytes()).context("--json -")
    } else {
        std::fs::write(path, text).with_context(|| format!("--json {}", path.display()))
    }
}

/// News and tables go to stderr; stdout is for data. Nobody reading it is no reason to stop a run.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
