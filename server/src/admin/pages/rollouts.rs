//! Rollouts, and how far each is.

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::{GateReading, Rollout, RolloutState};

use super::answer::{Page, PageAnswer};
use super::forms::Posted;
use super::parts::{Tone, ago, badge, count, cut, plural};
use super::visit::{PageId, Visit};
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::rollouts::RolloutWish;

/// Rollouts that are shown.
const ROWS: usize = 100;

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let rollouts = fleet.rollouts.list(&visit.principal).await?;
        let main = html! {
            div.title { div { h1 { "Rollouts" } p.state { "Changes that reach hosts in stages, and go back by themselves." } } }
            section.card.flush {
                @if rollouts.is_empty() {
                    div.empty {
                        h2 { "No rollout yet" }
                        p { "A document of the kind " code { "rollout" } " begins one: " code { "fleetctl apply -f ROLLOUT.yml" } "." }
                    }
                } @else { div.scroll { (table(&visit, &rollouts)) } }
            }
        };
        Ok(Page::new("Rollouts", main))
    })
    .await
}

fn table(visit: &Visit, rollouts: &[Rollout]) -> Markup {
    html! {
        table.page-table {
            thead { tr { th { "Rollout" } th { "State" } th { "Stage" } th.wide-only { "Changes" } th.wide-only { "Began" } } }
            tbody { @for rollout in rollouts.iter().take(ROWS) { tr {
                td.name { a href={ "rollouts/" (rollout.id) } { (cut(&rollout.name, 80)) } }
                td { (state(rollout.state)) }
                td { (stage(rollout)) }
                td.wide-only { (cut(&rollout.changes.join(", "), 80)) }
                td.wide-only { (ago(rollout.began_at, visit.look.now)) }
            } } }
        }
    }
}

/// One rollout, with its gates as they are now.
pub(super) async fn rollout(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let rollout = fleet.rollouts.by_id(&visit.principal, *id).await?;
        let title: String = rollout.name.chars().take(80).collect();
        Ok(Page::new(title, show(&visit, &rollout)))
    })
    .await
}

fn show(visit: &Visit, rollout: &Rollout) -> Markup {
    html! {
        div.title {
            div {
                p.crumb { a href="rollouts" { "Rollouts" } }
                h1 { (cut(&rollout.name, 200)) }
                p.state.row {
                    (state(rollout.state)) span { (stage(rollout)) } span { "changes " (cut(&rollout.changes.join(", "), 200)) }
                }
            }
            @if visit.may(Permission::WriteSchedule) { (steps(visit, rollout)) }
        }
        section.card {
            @if !rollout.reason.is_empty() { p { (cut(&rollout.reason, 400)) } }
            @if let Some(hosts) = &rollout.hosts {
                p {
                    (plural(hosts.cohort.unsigned_abs(), "host is", "hosts are")) " in the cohort, "
                    (count(hosts.cohort_online.unsigned_abs())) " online; "
                    (count(hosts.reported.unsigned_abs())) " have reported in this stage. "
                    (plural(hosts.others.unsigned_abs(), "other host is", "other hosts are")) " not reached yet."
                }
            }
        }
        @if !rollout.gates.is_empty() { (gates(&rollout.gates)) }
        (decisions(visit, rollout))
    }
}

/// What can be done with it. Options need more rights, which `fleet` asks for.
fn steps(visit: &Visit, rollout: &Rollout) -> Markup {
    let step = |step: &str, word: &str, is_danger: bool| {
        html! {
            form action={ "rollouts/" (rollout.id) "/" (step) } method="post" {
                (visit.form_key.field())
                button.danger[is_danger] { (word) }
            }
        }
    };
    html! {
        div.actions {
            @match rollout.state {
                RolloutState::Running => { (step("promote", "Next stage now", false)) (step("pause", "Pause", false)) (step("abort", "Abort", true)) }
                RolloutState::Paused => { (step("resume", "Resume", false)) (step("abort", "Abort", true)) }
                RolloutState::Done | RolloutState::Reverted | RolloutState::Unknown => {}
            }
        }
    }
}

fn gates(gates: &[GateReading]) -> Markup {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    html! {
        section.card.flush {
            div.card-head { h2 { "Gates" } }
            div.scroll { table.page-table {
                thead { tr { th { "Gate" } th { "State" } th.n { "Cohort" } th.n { "Other hosts" } th.wide-only { "Trips" } } }
                tbody { @for gate in gates { tr {
                    td.name { (cut(&gate.gate, 40)) }
                    td { @if gate.is_tripped { (badge(Tone::Bad, "Tripped")) } @else { (badge(Tone::Good, "Open")) } }
                    td.n { (number(gate.cohort)) }
                    td.n { (number(gate.others)) }
                    td.wide-only { "above " (gate.above) " and " (gate.times) " times the others" }
                } } }
            } }
        }
    }
}

fn decisions(visit: &Visit, rollout: &Rollout) -> Markup {
    html! {
        section.card.flush {
            div.card-head { h2 { "Decisions" } }
            div.scroll { table.page-table {
                thead { tr { th { "Decision" } th { "When" } th.n { "Stage" } th.wide-only { "By" } th { "Why" } } }
                tbody { @for decision in rollout.decisions.iter().rev().take(ROWS) { tr {
                    td.name { (cut(&decision.kind, 40)) }
                    td { (ago(decision.at, visit.look.now)) }
                    td.n { (decision.stage + 1) }
                    td.wide-only { @if decision.actor.is_empty() { span.muted { "the server" } } @else { (cut(&decision.actor, 60)) } }
                    td { (cut(&decision.reason, 300)) }
                } } }
            } }
        }
    }
}

fn state(state: RolloutState) -> Markup {
    match state {
        RolloutState::Running => badge(Tone::Good, "Running"),
        RolloutState::Paused => badge(Tone::Unknown, "Paused"),
        RolloutState::Done => badge(Tone::Good, "Done"),
        RolloutState::Reverted => badge(Tone::Bad, "Reverted"),
        RolloutState::Unknown => badge(Tone::Unknown, "Unknown"),
    }
}

fn stage(rollout: &Rollout) -> Markup {
    let title = usize::try_from(rollout.stage).ok().and_then(|stage| rollout.stages.get(stage));
    html! {
        "stage " (rollout.stage + 1) " of " (rollout.stages.len())
        @if let Some(stage) = title { ", " (cut(&stage.title, 60)) }
    }
}

pub(super) async fn promote(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    operate(api, posted, id, RolloutWish::Promote).await
}

pub(super) async fn pause(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    operate(api, posted, id, RolloutWish::Pause).await
}

pub(super) async fn resume(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    operate(api, posted, id, RolloutWish::Resume).await
}

pub(super) async fn abort(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    operate(api, posted, id, RolloutWish::Abort).await
}

async fn operate(api: Data<AdminApi>, posted: Posted, id: PageId, wish: RolloutWish) -> PageAnswer {
    api.submit(posted.visit, move |fleet, visit| async move {
        fleet.rollouts.operate_by_id(&visit.principal, *id, wish).await?;
        Ok(format!("/rollouts/{id}?notice=saved"))
    })
    .await
}
