use std::collections::{BTreeMap, BTreeSet};

use chrono::SecondsFormat;
use muster_api::rest::{Action, FieldDifference};
use muster_api::spec::{HostQuota, SecretSpec, UnlimitedWord, expiry};
use serde_json::json;

use super::{ApplyRun, Located, of_kind};
use crate::clock::Moment;
use crate::fleet::enroll_secrets::check_text;
use crate::fleet::names::check_short;
use crate::fleet::{Result, path};
use crate::store;
use crate::store::entity::enroll_secrets::Model as Secret;
use crate::store::secrets::SecretTerms;

/// What a document says of a secret. What is `None` stays as it is.
#[derive(Debug, Default)]
struct WantedTerms<'a> {
    /// Where the secret stands in the list.
    position: usize,
    name: Option<&'a str>,
    expires_at: Option<Option<Moment>>,
    quota: Option<Option<i64>>,
}

impl WantedTerms<'_> {
    fn over(&self, before: SecretTerms) -> SecretTerms {
        SecretTerms {
            name: self.name.map_or(before.name, str::to_owned),
            expires_at: self.expires_at.unwrap_or(before.expires_at),
            quota: self.quota.unwrap_or(before.quota),
        }
    }
}

/// Secrets with what is said of them.
type WantedSecrets<'a> = BTreeMap<&'a str, WantedTerms<'a>>;

impl ApplyRun<'_> {
    pub(super) async fn secrets(&mut self, documents: &[Located]) -> Result<()> {
        for (document, spec) in of_kind!(documents, EnrollSecret) {
            let mut wanted = WantedSecrets::new();
            let mut names = BTreeSet::new();
            for (position, secret) in spec.secrets.iter().enumerate() {
                let at = path::item(&document.path("secrets"), position);
                if secret.active == Some(false) {
                    self.warn(
                        path::member(&at, "active"),
                        "skipped: the secret is not active, so no host may enroll with it",
                    );
                    continue;
                }
                let name = secret.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
                if let Some(name) = name {
                    let at = path::member(&at, "name");
                    check_short(&at, name, &mut self.problems);
                    if !names.insert(name) {
                        self.problem(at, "is the name of another secret; give each its own");
                    }
                }
                let terms = WantedTerms { position, name, ..self.terms(&at, secret) };
                let at = path::member(&at, "secret");
                let text = secret.secret.trim_end_matches(['\r', '\n']);
                if text != secret.secret {
                    self.warn(
                        at.clone(),
                        "the line end is left out, as agents leave it out; write the secret on one line",
                    );
                }
                let found = self.problems.len();
                check_text(&at, text, &mut self.problems);
                if self.problems.len() == found && wanted.insert(text, terms).is_some() {
                    self.problem(at, "stands in the list twice");
                }
            }
            if wanted.is_empty() && spec.secrets.iter().any(|secret| secret.active == Some(false)) {
                self.problem(
                    document.path("secrets"),
                    "has inactive secrets alone, so no host could enroll any more; make one active, or send an empty list to \
                     remove all",
                );
            }
            if spec.secrets.is_empty() {
                self.warn(document.path("secrets"), "no secrets, so no host can enroll any more; list at least one");
            }
            let rows = store::secrets::all(self.tx).await?;
            let existing: BTreeMap<&str, &Secret> = rows.iter().map(|row| (row.secret.as_str(), row)).collect();
            // A file that says less, such as one of Fleet, leaves the rest as it is.
            let is_same = |(secret, terms): (&&str, &WantedTerms<'_>)| {
                existing.get(secret).is_some_and(|row| terms.over((*row).into()) == SecretTerms::from(*row))
            };
            let is_changed = existing.len() != wanted.len() || !wanted.iter().all(is_same);
            // The change must not tell what the secrets are, only that the list differs.
            let (old, new) = (json!({ "secrets": 0 }), json!({ "secrets": u8::from(is_changed) }));
            let action = self.note(document, (0, ""), Some(&old), &new)?;
            self.tell_differences(&rows, &wanted);
            if action == Action::Changed {
                let terms = |row: &Secret| (row.secret.clone(), row.name.clone(), row.expires_at, row.quota);
                self.rests_on(&format!("{:?}", rows.iter().map(terms).collect::<Vec<_>>()).into());
            }
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let gone = rows.iter().filter(|row| !wanted.contains_key(row.secret.as_str())).map(|row| row.id).collect();
            store::secrets::delete(self.tx, gone).await?;
            for (secret, terms) in &wanted {
                match existing.get(secret) {
                    None => {
                        let terms = terms.over(SecretTerms::default());
                        store::secrets::insert(self.tx, secret, terms, self.now).await?;
                    }
                    Some(row) => {
                        let terms = terms.over((*row).into());
                        if terms != SecretTerms::from(*row) {
                            store::secrets::change(self.tx, row, terms).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The terms of a secret but for its name.
    fn terms(&mut self, at: &str, secret: &SecretSpec) -> WantedTerms<'static> {
        let mut terms = WantedTerms::default();
        if let Some(text) = secret.expires_at.as_deref() {
            let at = path::member(at, "expires_at");
            terms.expires_at = match expiry(text) {
                Some(end) => Some(Some(Moment(end.timestamp_micros()))),
                None if text == "never" => Some(None),
                None => {
                    self.problem(at.clone(), "expects a time such as 2027-01-31T00:00:00Z, or never");
                    None
                }
            };
            if terms.expires_at.flatten().is_some_and(|end| end <= self.now) {
                self.warn(at, "lies in the past, so no host can enroll with this secret");
            }
        }
        terms.quota = match secret.quota {
            Some(HostQuota::Hosts(0)) => {
                self.problem(
                    path::member(at, "quota"),
                    "expects at least 1; remove a secret that no host may enroll with",
                );
                None
            }
            Some(HostQuota::Hosts(hosts)) => Some(Some(i64::from(hosts))),
            Some(HostQuota::Word(UnlimitedWord::Unlimited)) => Some(None),
            None => None,
        };
        terms
    }

    /// Puts into the outcome noted last, if that is a change, how many secrets come and go, and which terms of others change. Never
    /// the text of a secret.
    fn tell_differences(&mut self, rows: &[Secret], wanted: &WantedSecrets<'_>) {
        let Some((_, change)) = self.changes.last_mut().filter(|(_, change)| change.action == Action::Changed) else {
            return;
        };
        let kept: Vec<(&Secret, &WantedTerms<'_>)> =
            rows.iter().filter_map(|row| Some((row, wanted.get(row.secret.as_str())?))).collect();
        let (new, removed) = (wanted.len() - kept.len(), rows.len() - kept.len());
        if new + removed > 0 {
            let count = |count: usize| if count == 1 { "1 secret".to_owned() } else { format!("{count} secrets") };
            let after = format!("{}: {new} new, {removed} removed", count(wanted.len()));
            change.differences.push(difference("secrets".to_owned(), count(rows.len()), after));
        }
        let mut terms: Vec<_> = kept.into_iter().flat_map(|(row, wanted)| changed_terms(row, wanted)).collect();
        let more = terms.len().saturating_sub(MOST_TERMS);
        terms.truncate(MOST_TERMS);
        change.differences.extend(terms);
        if more > 0 {
            let after = Some(format!("{more} more terms change"));
            change.differences.push(FieldDifference {
                field: "secrets".to_owned(),
                after,
                ..FieldDifference::default()
            });
        }
    }
}

/// Most terms of secrets that a plan tells.
const MOST_TERMS: usize = 100;

/// The terms of a secret that change.
fn changed_terms(row: &Secret, wanted: &WantedTerms<'_>) -> Vec<FieldDifference> {
    let before = SecretTerms::from(row);
    let after = wanted.over(before.clone());
    // A name may hold the secret by mistake.
    let may_be_shown = |name: &&str| !name.is_empty() && !name.contains(&row.secret);
    let at = match Some(before.name.as_str()).filter(may_be_shown) {
        Some(name) => path::member("secrets", name),
        None => path::item("secrets", wanted.position),
    };
    let name = |terms: &SecretTerms| match may_be_shown(&terms.name.as_str()) {
        true => terms.name.clone(),
        false => String::new(),
    };
    let end = |terms: &SecretTerms| {
        let end = terms.expires_at.map(|end| end.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true));
        end.unwrap_or_else(|| "never".to_owned())
    };
    let quota =
        |terms: &SecretTerms| terms.quota.map_or_else(|| "unlimited".to_owned(), |quota| format!("{quota} hosts"));
    let compared = [
        ("name", name(&before), name(&after)),
        ("expires_at", end(&before), end(&after)),
        ("quota", quota(&before), quota(&after)),
    ];
    let changed = compared.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(term, before, after)| difference(path::member(&at, term), before, after)).collect()
}

fn difference(field: String, before: String, after: String) -> FieldDifference {
    FieldDifference { field, before: Some(before), after: Some(after), ..FieldDifference::default() }
}
