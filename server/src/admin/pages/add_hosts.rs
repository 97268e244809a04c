//! How a machine becomes a host: flagfile, certificate and secret, by platform.

use std::path::{Path, PathBuf};

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::Data;
use maud::{Markup, html};

use super::answer::{self, Page, PageAnswer, PageFailed};
use super::forms::Posted;
use super::parts::{link, shown};
use super::settings;
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::config;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::enroll_secrets::{EnrollSecrets, ListedSecret};
use crate::fleet::{Error, Fleet, Result};

/// Most bytes of the file with the certificate.
const MAX_CERTIFICATE: u64 = 256 * 1024;

/// Secrets that are shown.
const SECRETS: usize = 50;

/// Where osquery's packages keep their files on a platform.
#[derive(Debug)]
struct EnrollPlatform {
    word: &'static str,
    name: &'static str,
    folder: &'static str,
    separator: char,
    flagfile: &'static str,
    restart: &'static str,
}

static PLATFORMS: [EnrollPlatform; 3] = [
    EnrollPlatform {
        word: "linux",
        name: "Linux",
        folder: "/etc/osquery",
        separator: '/',
        flagfile: "osquery.flags",
        restart: "sudo systemctl restart osqueryd",
    },
    EnrollPlatform {
        word: "macos",
        name: "macOS",
        folder: "/var/osquery",
        separator: '/',
        flagfile: "osquery.flags",
        restart: "sudo osqueryctl start",
    },
    EnrollPlatform {
        word: "windows",
        name: "Windows",
        folder: "C:\\Program Files\\osquery",
        separator: '\\',
        flagfile: "osquery.flags",
        restart: "Restart-Service osqueryd",
    },
];

impl EnrollPlatform {
    fn of(word: &str) -> &'static Self {
        PLATFORMS.iter().find(|platform| platform.word == word).unwrap_or(&PLATFORMS[0])
    }

    fn file(&self, name: &str) -> String {
        format!("{}{}{name}", self.folder, self.separator)
    }
}

/// The file with the certificate that agents see; `None` if this server leaves TLS to something before it.
pub(super) fn certificate_file(config: &config::Server) -> Option<PathBuf> {
    config.tls.then(|| config.cert.clone().unwrap_or_else(|| config.tls_dir.join("server.crt")))
}

/// What an agent must know to call this server.
#[derive(Debug)]
struct EnrollFacts {
    /// Name and port, as agents reach the server.
    host: String,
    /// Whether an administrator has said so; otherwise it is how the browser reaches it.
    is_configured: bool,
    prefix: String,
    /// The certificates as PEM, or why there are none to be had here.
    certificate: std::result::Result<String, &'static str>,
}

impl EnrollFacts {
    async fn read(fleet: &Fleet, by: &Principal, reached: HowReached) -> Result<Self> {
        by.may(Permission::ReadSecrets)?;
        let config = fleet.specs.config(by).await?;
        let configured = host_of(config["server_settings"]["server_url"].as_str().unwrap_or_default());
        let is_configured = configured.is_some();
        let host = configured.unwrap_or(reached.host);
        let certificate = match &reached.certificate {
            Some(file) => certificates(file),
            None => Err(
                "This server leaves TLS to what stands before it: take the certificate, or the one of its authority, from there.",
            ),
        };
        Ok(Self { host, is_configured, prefix: reached.prefix, certificate })
    }

    fn flagfile(&self, platform: &EnrollPlatform) -> String {
        let (host, prefix) = (&self.host, &self.prefix);
        let certificate = platform.file("muster.crt");
        let secret = platform.file("enroll_secret");
        format!(
            "--tls_hostname={host}\n\
             --tls_server_certs={certificate}\n\
             --enroll_secret_path={secret}\n\
             --enroll_tls_endpoint={prefix}/api/v1/osquery/enroll\n\
             --host_identifier=uuid\n\
             --config_plugin=tls\n\
             --config_tls_endpoint={prefix}/api/v1/osquery/config\n\
             --config_refresh=60\n\
             --logger_plugin=tls\n\
             --logger_tls_endpoint={prefix}/api/v1/osquery/log\n\
             --disable_distributed=false\n\
             --distributed_plugin=tls\n\
             --distributed_tls_read_endpoint={prefix}/api/v1/osquery/distributed/read\n\
             --distributed_tls_write_endpoint={prefix}/api/v1/osquery/distributed/write\n\
             --disable_carver=true\n"
        )
    }
}

/// What a request says about how the server is reached, and where its certificate is.
#[derive(Debug)]
struct HowReached {
    host: String,
    prefix: String,
    certificate: Option<PathBuf>,
}

impl HowReached {
    fn of(api: &AdminApi, request: &HttpRequest) -> Self {
        let host = request.connection_info().host().to_owned();
        let is_plain = |char: char| char.is_ascii_alphanumeric() || ".-:[]".contains(char);
        let host = if host.chars().all(is_plain) { host } else { "muster.example.com:8080".to_owned() };
        Self {
            host,
            prefix: api.pages.prefix.to_string(),
            certificate: api.pages.certificate.as_deref().map(Path::to_path_buf),
        }
    }
}

/// Name and port in the URL of a server.
fn host_of(url: &str) -> Option<String> {
    let rest = url.trim().strip_prefix("https://").or_else(|| url.trim().strip_prefix("http://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = |char: char| char.is_alphanumeric() || ".-:[]".contains(char);
    (!host.is_empty() && host.chars().all(is_plain)).then(|| host.to_owned())
}

/// The certificates in a file, and nothing else that it may hold.
fn certificates(file: &Path) -> std::result::Result<String, &'static str> {
    let is_small = std::fs::metadata(file).is_ok_and(|found| found.len() <= MAX_CERTIFICATE);
    let text = is_small.then(|| std::fs::read_to_string(file).ok()).flatten();
    let text = text.ok_or("The file with the certificate of this server cannot be read here.")?;
    let found = certificates_in(&text);
    if found.is_empty() { Err("The file of this server has no certificate as PEM.") } else { Ok(found) }
}

fn certificates_in(text: &str) -> String {
    let mut found = String::new();
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        is_inside |= line == "-----BEGIN CERTIFICATE-----";
        if is_inside {
            found.push_str(line);
            found.push('\n');
        }
        is_inside &= line != "-----END CERTIFICATE-----";
    }
    found
}

/// How to add a host.
pub(super) async fn page(api: Data<AdminApi>, visit: Visit, request: HttpRequest) -> PageAnswer {
    let (reached, platform) = (HowReached::of(&api, &request), visit.look.parameter("platform").unwrap_or_default());
    api.page(visit, move |fleet, visit| async move {
        let facts = EnrollFacts::read(&fleet, &visit.principal, reached).await?;
        Ok(show(&visit, EnrollPlatform::of(&platform), &facts, &[]))
    })
    .await
}

/// The same page with the secrets.
pub(super) async fn reveal(api: Data<AdminApi>, posted: Posted, request: HttpRequest) -> PageAnswer {
    let (reached, platform) = (HowReached::of(&api, &request), posted.fields.text("platform").to_owned());
    api.page(posted.visit, move |fleet, visit| async move {
        let facts = EnrollFacts::read(&fleet, &visit.principal, reached).await?;
        let secrets = EnrollSecrets::of(&fleet).revealed(&visit.principal).await?;
        Ok(show(&visit, EnrollPlatform::of(&platform), &facts, &secrets))
    })
    .await
}

/// The flagfile of a platform as a file.
pub(super) async fn flagfile(api: Data<AdminApi>, visit: Visit, request: HttpRequest) -> PageAnswer {
    let (reached, platform) = (HowReached::of(&api, &request), visit.look.parameter("platform").unwrap_or_default());
    let platform = EnrollPlatform::of(&platform);
    let text = download(&api, &visit, reached, move |facts| Ok(facts.flagfile(platform))).await;
    text.map(|text| file(platform.flagfile, text)).map_err(|error| PageFailed::of(visit, error))
}

/// The certificate as a file.
pub(super) async fn certificate(api: Data<AdminApi>, visit: Visit, request: HttpRequest) -> PageAnswer {
    let reached = HowReached::of(&api, &request);
    let take = |facts: EnrollFacts| facts.certificate.map_err(|reason| Error::invalid("certificate", reason));
    let text = download(&api, &visit, reached, take).await;
    text.map(|text| file("muster.crt", text)).map_err(|error| PageFailed::of(visit, error))
}

async fn download(
    api: &AdminApi,
    visit: &Visit,
    reached: HowReached,
    take: impl FnOnce(EnrollFacts) -> Result<String> + Send + 'static,
) -> Result<String> {
    let (fleet, by) = (api.fleet.clone(), visit.principal.clone());
    api.work.change(move || async move { take(EnrollFacts::read(&fleet, &by, reached).await?) }).await
}

fn file(name: &str, text: String) -> HttpResponse {
    let mut response = answer::head(StatusCode::OK);
    response.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    response.content_type("text/plain; charset=utf-8").body(text)
}

fn show(visit: &Visit, platform: &EnrollPlatform, facts: &EnrollFacts, secrets: &[ListedSecret]) -> Page {
    let main = html! {
        div.title { div {
            h1 { "Add hosts" }
            p.state { "A machine becomes a host when its osquery is told to call this server." }
        } }
        (settings::tabs(visit, "add"))
        div.chips { @for one in &PLATFORMS {
            a.chip href=(link("hosts/add", &[("platform", one.word)]))
                aria-current=[(one.word == platform.word).then_some("true")] { (one.name) }
        } }
        @if !facts.is_configured {
            p.warning {
                "Nobody has said how agents reach this server, so the flagfile names it as your browser does: " code { (shown(&facts.host)) }
                ". Set " code { "server_settings.server_url" } " with fleetctl if agents use another name."
            }
        }
        (step("1. Install osquery", html! {
            p { "Take the package for " (platform.name) " from osquery.io/downloads, version 5 or later." }
        }))
        (step("2. Save the certificate", html! {
            p { "As " code { (platform.file("muster.crt")) } ", so that the agent knows this server." }
            @match &facts.certificate {
                Ok(text) => {
                    details.data { summary { "Show it" } pre #certificate { (text) } }
                    div.row {
                        a.button href="hosts/add/certificate" { "Download certificate" }
                        (copy_button("certificate", "Copy certificate"))
                    }
                },
                Err(reason) => p.muted { (reason) },
            }
        }))
        (step("3. Save the secret", html! {
            p { "As " code { (platform.file("enroll_secret")) } ", readable by administrators of the machine only." }
            (secret_part(visit, platform, secrets))
        }))
        (step("4. Save the flagfile", html! {
            p { "As " code { (platform.file(platform.flagfile)) } "." }
            pre #flagfile tabindex="0" { (shown(&facts.flagfile(platform))) }
            div.row {
                a.button href=(link("hosts/add/flagfile", &[("platform", platform.word)])) { "Download flagfile" }
                (copy_button("flagfile", "Copy flagfile"))
            }
        }))
        (step("5. Start the agent", html! {
            pre #restart { (platform.restart) }
            div.row { (copy_button("restart", "Copy command")) }
            p.muted {
                "The host stands under " a href="hosts" { "Hosts" } " within a minute. If it does not, the log of this server says why it was "
                "refused."
            }
        }))
    };
    Page::new("Add hosts", main)
}

fn step(title: &str, what: Markup) -> Markup {
    html! { section.card { h2 { (title) } (what) } }
}

fn copy_button(of: &str, word: &str) -> Markup {
    html! { button.copy type="button" data-copy=(of) { (word) } }
}

fn secret_part(visit: &Visit, platform: &EnrollPlatform, secrets: &[ListedSecret]) -> Markup {
    html! {
        @if secrets.is_empty() {
            form.row action="hosts/add" method="post" {
                (visit.form_key.field())
                input type="hidden" name="platform" value=(platform.word);
                button { "Show secrets" }
            }
        } @else {
            @let now = visit.look.now.to_utc();
            @if !secrets.iter().any(|secret| secret.admits(now)) {
                p { "Each secret has expired or is used up. " a href="settings/secrets" { "Add another" } "." }
            }
            dl.facts { @for secret in secrets.iter().filter(|secret| secret.admits(now)).take(SECRETS) {
                dt { (shown(&secret.name)) }
                dd {
                    @if let Some(text) = &secret.secret {
                        code id={ "secret-" (secret.id) } { (shown(text)) } " "
                        (copy_button(&format!("secret-{}", secret.id), "Copy secret"))
                    }
                }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_server_is_that_of_its_url() {
        for (url, host) in [
            ("https://muster.example.com:8080/muster", Some("muster.example.com:8080")),
            ("http://[::1]:8080", Some("[::1]:8080")),
            ("muster.example.com", None),
            ("https://", None),
            ("https://a b/", None),
            ("https://a\n--flag/", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }

    #[test]
    fn a_private_key_beside_the_certificate_stays_where_it_is() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let text =
            format!("-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n{certificate}junk\n{certificate}");
        assert_eq!(certificates_in(&text), format!("{certificate}{certificate}"));
        assert_eq!(certificates_in("-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n"), "");
    }
}
