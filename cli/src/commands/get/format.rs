use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::{documents, output};

/// How objects are printed that have documents.
#[derive(Clone, Copy, Default, clap::Args)]
pub struct DocumentFormat {
    /// Output format: table, wide (more columns), name (one a line), yaml or json [default: table; yaml of one object]
    #[arg(short = 'o', long, value_name = "FORMAT", hide_possible_values = true, conflicts_with_all = ["yaml", "json"])]
    output: Option<ListFormat>,
    /// Print YAML documents that fleetctl apply accepts, as --output yaml does
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    /// Print one JSON object per line, as --output json does
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// A grid
    Table,
    /// A grid with more columns
    Wide,
    /// Documents
    Yaml,
    /// One object a line
    Json,
    /// One name a line
    Name,
}

impl DocumentFormat {
    /// Whether to print documents; otherwise lists are printed as tables.
    pub fn is_documents(self, is_named: bool) -> bool {
        match self.output {
            Some(format) => matches!(format, ListFormat::Yaml | ListFormat::Json),
            None => self.yaml || self.json || is_named,
        }
    }

    pub fn is_json(self) -> bool {
        self.json || self.output == Some(ListFormat::Json)
    }

    /// Whether tables have more columns.
    pub fn is_wide(self) -> bool {
        self.output == Some(ListFormat::Wide)
    }

    /// Whether to print names alone.
    pub fn is_names(self) -> bool {
        self.output == Some(ListFormat::Name)
    }

    /// Refuses what only lists can be printed as.
    ///
    /// # Errors
    /// The formats that there are, with `what` as the command has it.
    pub fn only_documents(self, what: &str) -> anyhow::Result<()> {
        if !self.is_documents(true) {
            bail!("{what} is one document; use --output yaml or --output json");
        }
        Ok(())
    }
}

/// Prints names for scripts, one a line. Line ends and other control characters in names are replaced.
pub fn names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
    let line = |name: T| output::printable(&name.as_ref().replace('\n', "\u{fffd}")) + "\n";
    output::data(&names.into_iter().map(line).collect::<String>())
}

/// How reports are printed, which have no documents.
#[derive(Clone, Copy, clap::Args)]
pub struct ReportFormat {
    /// Output format: table, yaml or json [default: table]
    #[arg(short = 'o', long, value_name = "FORMAT", hide_possible_values = true, conflicts_with_all = ["yaml", "json"])]
    output: Option<ReportOutput>,
    /// Print YAML as the REST API has it, as --output yaml does
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    /// Print JSON as the REST API has it, an object per line, as --output json does
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportOutput {
    /// A grid
    Table,
    /// YAML
    Yaml,
    /// One object a line
    Json,
}

impl ReportFormat {
    /// Prints values as data, if that is asked for; says whether it was.
    pub fn printed<T: Serialize>(self, values: &[T]) -> anyhow::Result<bool> {
        if self.json || self.output == Some(ReportOutput::Json) {
            let line = |value: &T| -> anyhow::Result<String> {
                Ok(serde_json::to_string(value).context("cannot print the response")? + "\n")
            };
            output::data(&values.iter().map(line).collect::<anyhow::Result<String>>()?)?;
        } else if self.yaml || self.output == Some(ReportOutput::Yaml) {
            let parts: Vec<String> = values.iter().map(documents::to_yaml).collect::<anyhow::Result<_>>()?;
            output::data(&parts.join("---\n"))?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}
