//! The folder that documents come from.

use super::Diagnosis;
use crate::config::Config;
use crate::documents;

const SUBJECT: &str = "documents";

pub(super) fn check(config: &Config) -> Vec<Diagnosis> {
    let Some(folder) = &config.documents.folder else { return Vec::new() };
    let diagnosis = match documents::fault(folder) {
        None => Diagnosis::ok(SUBJECT, format!("documents.folder: {} can be read", folder.display())),
        Some(fault) => {
            let remedy = "mend it; until then hosts keep what was applied last, and documents are changed by nobody";
            Diagnosis::fail(SUBJECT, format!("documents.folder: {fault}"), remedy)
        }
    };
    vec![diagnosis]
}
