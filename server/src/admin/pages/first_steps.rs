//! The first steps with a new server: a list that ends with a real host, and that its reader puts away.

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use super::answer::go_to;
use super::cookie::{Cookie, FIRST_STEPS, set_cookie};
use super::forms::Posted;
use super::parts::{Tone, badge};
use super::visit::Visit;
use crate::fleet::access::Permission;

/// Seconds for which a browser remembers that the list was put away.
const PUT_AWAY_FOR: u32 = 365 * 24 * 3600;

/// What has been done already.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepsDone {
    pub has_hosts: bool,
    pub has_packs: bool,
    pub has_asked: bool,
}

/// The list, for users who can go these steps and have not put it away.
pub(super) fn list(visit: &Visit, done: StepsDone) -> Markup {
    if !visit.look.shows_first_steps || !visit.may(Permission::ReadSecrets) {
        return html! {};
    }
    let step = |is_done: bool, what: Markup| {
        html! { li.split { span { (what) } @if is_done { (badge(Tone::Good, "Done")) } @else { (badge(Tone::Unknown, "To do")) } } }
    };
    html! {
        section.card #first-steps {
            div.card-head {
                h2 { "First steps" }
                form.inline action="first-steps" method="post" { (visit.form_key.field()) button { "Put away" } }
            }
            ol.plain-list {
                (step(done.has_packs, html! { a href="packs" { "Schedule queries" } " that all hosts run: apply a pack with " code { "fleetctl apply -f PACK.yml" } }))
                (step(done.has_asked, html! { a href="live" { "Ask the fleet" } " something now, and watch the answers come" }))
                (step(done.has_hosts, html! { a href="hosts" { "See hosts" } " enroll, and what their queries cost them" }))
            }
            details {
                summary { "Enroll a host of your own" }
                div.stack { (how_to_enroll(visit)) }
            }
        }
    }
}

/// How a host enrolls.
pub(super) fn how_to_enroll(visit: &Visit) -> Markup {
    let base = format!("{}/api/v1/osquery", visit.look.prefix);
    html! {
        @if visit.may(Permission::ReadSecrets) {
            p {
                a href="hosts/add" { "Add hosts" }
                " has flagfile, certificate and enroll secret for Linux, macOS and Windows. In short:"
            }
        }
        p { "Install osquery on a machine and start osqueryd with these flags. It appears here within a minute." }
        pre tabindex="0" {
            "--tls_hostname=ADDRESS:PORT of this server\n"
            "--tls_server_certs=CERTIFICATE of this server\n"
            "--enroll_secret_path=FILE with an enroll secret\n"
            "--host_identifier=uuid\n"
            "--enroll_tls_endpoint=" (base) "/enroll\n"
            "--config_plugin=tls --config_tls_endpoint=" (base) "/config --config_refresh=60\n"
            "--logger_plugin=tls --logger_tls_endpoint=" (base) "/log --logger_tls_period=10\n"
            "--disable_distributed=false --distributed_plugin=tls --distributed_interval=10\n"
            "--distributed_tls_read_endpoint=" (base) "/distributed/read\n"
            "--distributed_tls_write_endpoint=" (base) "/distributed/write"
        }
        @if !visit.may(Permission::ReadSecrets) {
            p.muted { "Maintainers find the enroll secret, and a flagfile for each platform, under Add hosts." }
        }
    }
}

/// Puts the list away in this browser.
pub(super) async fn put_away(request: HttpRequest, posted: Posted) -> HttpResponse {
    let mut response = go_to(&posted.visit.look.prefix, "/");
    set_cookie(&mut response, &request, &Cookie { name: FIRST_STEPS, value: "away", max_age: Some(PUT_AWAY_FOR) });
    response.finish()
}
