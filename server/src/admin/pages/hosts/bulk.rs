//! Doing something with many hosts at once: those that are selected, or all that the list has.

use std::collections::BTreeSet;

use actix_web::web::Data;
use maud::{Markup, html};
use serde_json::json;

use super::HostPageRows;
use super::address::HostsAddress;
use crate::admin::AdminApi;
use crate::admin::pages::answer::{Page, PageAnswer, PageFailed, go_to};
use crate::admin::pages::forms::{FormFields, Posted};
use crate::admin::pages::parts::{cut, link, plural, shown};
use crate::admin::pages::visit::Visit;
use crate::fleet::access::Permission;
use crate::fleet::changes::content_mark;
use crate::fleet::hosts::{HostFilter, StillSo};
use crate::fleet::{Error, Fleet, Result};

/// Most hosts that one form changes.
const MOST: usize = 5_000;

/// Hosts that are named before they are deleted.
const MOST_NAMED: usize = 20;

/// Most hosts that a live query is addressed to one by one.
const MOST_ASKED: usize = 100;

/// The form around a table of hosts, with what can be done with them.
pub(super) fn form(visit: &Visit, address: &HostsAddress, rows: &HostPageRows, table: Markup) -> Markup {
    let is_part = rows.found > rows.hosts.len() as u64;
    let no_query = visit.why_closed(Permission::RunLiveQueries);
    html! {
        form.bulk action="hosts/selected/refetch" method="post" data-bulk {
            (visit.form_key.field())
            (address.first().fields())
            div.bulk-bar {
                span.muted data-picked { "Selected hosts:" }
                button formaction="hosts/selected/live" disabled[no_query.is_some()] { "Run a live query" }
                @if let Some(why) = no_query { span.hint { (shown(&why)) } }
                @if visit.may(Permission::WriteHosts) {
                    button { "Refetch" }
                    button.danger formaction="hosts/selected/delete" { "Delete" }
                    @if is_part {
                        label.check { input type="checkbox" name="all" value="true"; "all " (plural(rows.found, "host", "hosts")) " of this list" }
                    }
                }
            }
            (table)
        }
    }
}

/// Hosts that a form names.
#[derive(Debug, Clone)]
enum Chosen {
    Single(Vec<i64>),
    /// All of a list.
    All(Box<HostsAddress>),
}

impl Chosen {
    fn of(fields: &FormFields) -> Self {
        match fields.text("all") {
            "true" => Self::All(Box::new(HostsAddress::read(|name| fields.text(name).to_owned()).first())),
            _ => Self::Single(fields.all("host").iter().filter_map(|id| id.parse().ok()).collect()),
        }
    }

    /// What must still be so of them when they are deleted.
    ///
    /// # Errors
    /// When the address of the list is wrong.
    fn still(&self) -> Result<StillSo> {
        match self {
            Self::Single(_) => Ok(StillSo::default()),
            Self::All(address) => Ok(StillSo { state: address.filter()?.state, silent_since: None }),
        }
    }

    /// Their ids now.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none, or if there are too many to do something with all at once.
    async fn ids(&self, fleet: &Fleet, visit: &Visit) -> Result<Vec<i64>> {
        let ids = match self {
            Self::Single(ids) => ids.clone(),
            Self::All(address) => {
                let filter = HostFilter { limit: Some(MOST as u64 + 1), ..address.filter()? };
                fleet.hosts.list(&visit.principal, &filter).await?.ids()
            }
        };
        if ids.is_empty() {
            return Err(Error::invalid("host", "no host is selected: select some in the list, and send again"));
        }
        if ids.len() > MOST {
            let reason = format!("more than {MOST} hosts are selected: narrow the list, or use fleetctl or REST");
            return Err(Error::invalid("host", reason));
        }
        Ok(ids)
    }

    /// The same choice, as fields of a form.
    fn fields(&self) -> Markup {
        html! {
            @match self {
                Self::Single(ids) => @for id in ids { input type="hidden" name="host" value=(id); },
                Self::All(address) => { input type="hidden" name="all" value="true"; (address.fields()) },
            }
        }
    }
}

/// Asks the hosts for their details and labels.
pub(in crate::admin::pages) async fn refetch(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let chosen = Chosen::of(&posted.fields);
    let back = HostsAddress::read(|name| posted.fields.text(name).to_owned()).link("/hosts");
    api.submit(posted.visit, move |fleet, visit| async move {
        let ids = chosen.ids(&fleet, &visit).await?;
        fleet.hosts.refetch_many(&visit.principal, &ids).await?;
        Ok(link(&back, &[("notice", "refetched")]))
    })
    .await
}

/// Goes to the form of a live query to the hosts.
pub(in crate::admin::pages) async fn ask(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let chosen = Chosen::of(&posted.fields);
    api.submit(posted.visit, move |fleet, visit| async move {
        let ids = chosen.ids(&fleet, &visit).await?;
        if ids.len() > MOST_ASKED {
            let reason = format!("a live query names {MOST_ASKED} hosts at most: choose a label or a platform instead");
            return Err(Error::invalid("host", reason));
        }
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        let fields: Vec<(&str, &str)> = ids.iter().map(|id| ("host_id", &**id)).collect();
        Ok(link("/live", &fields))
    })
    .await
}

/// Asks whether to delete the hosts.
pub(in crate::admin::pages) async fn confirm_delete(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let chosen = Chosen::of(&posted.fields);
    api.page(posted.visit, move |fleet, visit| async move {
        visit.principal.may(Permission::WriteHosts)?;
        let ids = chosen.ids(&fleet, &visit).await?;
        confirmation(&fleet, &visit, &chosen, &ids, false).await
    })
    .await
}

/// The same for the same hosts, in whatever order.
fn mark_of(ids: &[i64]) -> String {
    let sorted: BTreeSet<i64> = ids.iter().copied().collect();
    content_mark(&json!(sorted))
}

async fn confirmation(fleet: &Fleet, visit: &Visit, chosen: &Chosen, ids: &[i64], has_changed: bool) -> Result<Page> {
    let named = fleet.hosts.names(&visit.principal, &ids[..ids.len().min(MOST_NAMED)]).await?;
    let size = plural(ids.len() as u64, "host", "hosts");
    let main = html! {
        div.card {
            h1 { "Delete " (size) "?" }
            @if has_changed { p.problem role="alert" { "The list has changed meanwhile. Nothing was deleted yet." } }
            p {
                @for (position, (_, name)) in named.iter().enumerate() { @if position > 0 { ", " } (cut(name, 60)) }
                @if ids.len() > MOST_NAMED { " and " (ids.len() - MOST_NAMED) " more" }
            }
            p {
                "They and everything known of them are deleted. Those whose agents still run enroll again as new hosts."
            }
            form.row action="hosts/selected/delete/confirmed" method="post" {
                (visit.form_key.field())
                (chosen.fields())
                input type="hidden" name="expected" value=(mark_of(ids));
                button.danger { "Delete " (size) }
                a.button href="hosts" { "Keep them" }
            }
        }
    };
    Ok(Page::new("Delete hosts", main))
}

/// Deletes the hosts, if they are those that were confirmed.
pub(in crate::admin::pages) async fn delete(api: Data<AdminApi>, posted: Posted) -> PageAnswer {
    let Posted { visit, fields } = posted;
    let (chosen, expected) = (Chosen::of(&fields), fields.text("expected").to_owned());
    let (fleet, looking, sent) = (api.fleet.clone(), visit.clone(), chosen.clone());
    let deleted = api
        .work
        .change(move || async move {
            looking.principal.may(Permission::WriteHosts)?;
            let ids = sent.ids(&fleet, &looking).await?;
            if expected != mark_of(&ids) {
                return Ok(Some(ids));
            }
            let still = sent.still()?;
            fleet.delete_hosts_still(&looking.principal, &ids, still).await.map(|_| None)
        })
        .await;
    match deleted {
        Ok(None) => Ok(go_to(&visit.look.prefix, "/hosts?notice=deleted").finish()),
        // Others than were confirmed.
        Ok(Some(ids)) => {
            api.page_again(
                visit,
                move |fleet, visit| async move { confirmation(&fleet, &visit, &chosen, &ids, true).await },
            )
            .await
        }
        Err(error) => Err(PageFailed::of(visit, error)),
    }
}
