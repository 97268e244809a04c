//! Labels that rules name.

use std::collections::BTreeSet;

use super::TableGuard;
use crate::fleet::schedule::Plan;
use crate::lock::lock;

/// Labels that rules name and that are not there, and the number of the guard of which the log has said so.
pub(super) type MissingLabels = (u64, BTreeSet<String>);

impl TableGuard {
    /// Says in the log which labels rules name that are not there: a misspelt label makes a rule one for all hosts. Once for each
    /// guard and each set of labels.
    pub fn warn_of_labels(&self, plan: &Plan) {
        let read = self.file.guard();
        let missing: BTreeSet<String> =
            read.guard.labels().into_iter().filter(|label| plan.label_id(label).is_none()).map(str::to_owned).collect();
        let found = (read.number, missing);
        let mut said = lock(&self.missing_labels);
        if !found.1.is_empty() && *said != found {
            let labels = found.1.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                labels,
                "rules of the table guard name labels that do not exist, and are for all hosts as long as they do not; create the \
                 labels, or correct the file"
            );
        }
        *said = found;
    }

    /// The labels that are not there, as of the last look.
    #[cfg(test)]
    pub(in crate::fleet) fn missing_labels(&self) -> BTreeSet<String> {
        lock(&self.missing_labels).1.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use crate::tests::world::World;

    #[actix_web::test]
    async fn labels_that_are_not_there_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.yml");
        let rule = "{name: a, reason: b, tables: [curl], deny: true, labels: [Prod, pci]}";
        fs::write(&path, format!("mode: enforce\nrules:\n- {rule}\n")).unwrap();
        let world = World::with(|config| config.server.guard = Some(path)).await;
        let fleet = &world.app.fleet;
        let missing = || {
            fleet.guard.warn_of_labels(&fleet.schedule.plan());
            fleet.guard.missing_labels().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(missing(), ["Prod", "pci"]);
        let label = json!({ "kind": "label", "spec": { "name": "prod", "query": "SELECT 1" } });
        world.apply(json!([label])).await;
        assert_eq!(missing(), ["pci"], "whatever its capitals");
    }
}
