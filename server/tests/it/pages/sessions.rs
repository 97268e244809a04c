use std::time::Duration;

use muster_api::rest::HostList;
use serde_json::json;

use super::{admin, assert_guarded};
use crate::support::{Answer, Browser, PASSWORD, Rest, TestServer, Visitor, cookie_name, token};

const LOGIN: [(&str, &str); 2] = [("email", "admin@example.com"), ("password", PASSWORD)];

fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.headers["location"].to_str().unwrap()
}

/// Somebody who has opened the login.
async fn at_the_login(server: &TestServer) -> Visitor {
    let mut visitor = Visitor::stranger(&server.address);
    let page = visitor.get("/login").await;
    visitor.take_cookie(&page, "muster_visitor");
    visitor
}

/// Nothing is read of strangers without a cookie, and of others no more than a login needs.
#[tokio::test]
async fn strangers_send_little() {
    let server = TestServer::start().await;
    let visitor = at_the_login(&server).await;
    let token = token(&visitor.get("/login").await.text);
    for bytes in [20_000, 300_000] {
        let password = "x".repeat(bytes);
        let fields = [("form_token", token.as_str()), ("email", "admin@example.com"), ("password", &password)];
        for path in ["/login", "/setup"] {
            let refused = Visitor::finish(visitor.posting(path, &fields)).await;
            assert!(refused.text.contains("more than 16 KiB"), "{path} {bytes}: {}", refused.text);
            let unread = Visitor::finish(Visitor::stranger(&server.address).posting(path, &fields)).await;
            assert_eq!(unread.status, 403, "{path} {bytes}: {}", unread.text);
        }
    }
}

/// A form that was sent after the end of the session leads to the login, and from there to a page.
#[tokio::test]
async fn a_form_that_comes_too_late_leads_to_a_page() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let late = Visitor::with_token(&server.address, "ended");
    for path in ["/hosts/1/refetch", "/users", "/live"] {
        let answer = Visitor::finish(late.posting(path, &[("form_token", "x")])).await;
        assert_eq!(location(&answer), "/login?notice=ended", "{path}");
    }
    assert!(late.get("/login?notice=ended").await.text.contains("Your session has ended, and nothing was changed"));
    // The theme is chosen on the page that a refused form has left, too.
    let visitor = admin(&server);
    let refused = visitor.submit("/live", "/live", &[("sql", "SELECT 1")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("name=\"back\" value=\"/\""), "{}", refused.text);
    let page = visitor.get("/hosts?status=online").await.text;
    assert!(page.contains("name=\"back\" value=\"/hosts?status=online\""), "{page}");
}

/// What the script of a page asks for keeps no session alive, and it is told when the session has ended.
#[tokio::test]
async fn a_page_that_nobody_looks_at_lets_its_session_end() {
    let server = TestServer::with(|config| config.session.duration = Duration::from_secs(3600)).await;
    server.enrolled(1).await;
    server.rest.post("live_queries", &json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    let visitor = admin(&server);
    assert_eq!(visitor.get("/").await.status, 200);
    let parts = ["/overview/part", "/live/1/part"];
    for _ in 0..6 {
        for part in parts {
            let answer = visitor.get(part).await;
            assert_eq!(answer.status, 200, "{part}: {}", answer.text);
        }
        server.clock.advance(Duration::from_secs(601));
    }
    for part in parts.into_iter().chain(["/live/1/stream"]) {
        assert_eq!(visitor.get(part).await.status, 401, "{part}");
    }
    assert_eq!(location(&visitor.get("/hosts").await), "/login?next=%2Fhosts");
}

#[tokio::test]
async fn a_login_ends_the_session_before() {
    let server = TestServer::start().await;
    let before = admin(&server);
    let mut visitor = at_the_login(&server).await;
    visitor.cookie = Some(format!("{}; {}", visitor.cookie.unwrap(), before.cookie.clone().unwrap()));
    let done = visitor.submit("/login", "/login", &LOGIN).await;
    assert_eq!(location(&done), "/");
    visitor.take_cookie(&done, "muster_session");
    assert_eq!(visitor.get("/hosts").await.status, 200);
    assert_eq!(before.get("/hosts").await.status, 303);
}

/// A neighbour's cookie is never taken for the server's own.
#[tokio::test]
async fn a_cookie_with_two_values_is_nobodys() {
    let server = TestServer::start().await;
    let name = cookie_name(&server.address, "muster_session");
    assert!(name.starts_with("__Host-"), "a neighbour cannot set it: {name}");
    for other in [format!("{name}=other"), format!("muster_session={}", server.rest.token())] {
        let mut visitor = Visitor::stranger(&server.address);
        visitor.cookie = Some(other.clone());
        assert_eq!(visitor.get("/hosts").await.status, 303, "{other}");
    }
    let mut visitor = admin(&server);
    visitor.cookie = Some(format!("{name}=other; {}", visitor.cookie.unwrap()));
    assert_eq!(visitor.get("/hosts").await.status, 303);
}

#[tokio::test]
async fn users_for_programs_have_no_pages() {
    let server = TestServer::start().await;
    server.database().execute("UPDATE users SET api_only = 1");
    assert_eq!(admin(&server).get("/hosts").await.status, 303);
    assert_eq!(server.rest.get("hosts").await.status, 200);
    let sessions = server.number("SELECT count(*) FROM sessions");
    let visitor = at_the_login(&server).await;
    let refused = visitor.submit("/login", "/login", &LOGIN).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("This user is for programs"), "{}", refused.text);
    assert_eq!(server.number("SELECT count(*) FROM sessions"), sessions, "none is left behind");
}

/// Browsers that say no more than their origin are believed as well, and so they are where a new server is set up by REST.
#[tokio::test]
async fn another_origin_sends_nothing() {
    let server = TestServer::empty(|_| {}).await;
    let own = server.address.url.as_str();
    let body = Rest::set_up_body().to_string();
    for (header, value) in [("Origin", "https://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")] {
        let set_up = Visitor::stranger(&server.address).posting("/api/v1/setup", &[]).header(header, value);
        let refused = Visitor::finish(set_up.header("Content-Type", "application/json").body(body.clone())).await;
        assert_eq!(refused.status, 403, "{header}: {value}: {}", refused.text);
    }
    assert_eq!(server.number("SELECT count(*) FROM users"), 0);
    let rest = Rest::new(&server.address).set_up().await;
    server.enrolled(1).await;
    let visitor = Visitor::of(&server.address, &rest);
    let good = token(&visitor.get("/hosts/1").await.text);
    let send = |origin: &str| {
        visitor.posting("/hosts/1/delete", &[("form_token", good.as_str())]).header("Origin", origin.to_owned())
    };
    let refused = Visitor::finish(send("https://evil.example")).await;
    assert_eq!(refused.status, 403);
    assert_guarded("/hosts/1/delete", &refused);
    assert_eq!(rest.read::<HostList>("hosts").await.hosts.len(), 1);
    assert_eq!(location(&Visitor::finish(send(own)).await), "/hosts?notice=deleted");
}

/// A page that renews itself goes to the login when its session has ended, and says so when the server does not answer.
#[tokio::test]
async fn an_overview_without_a_session_goes_to_the_login() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&format!("{}/", server.address.url)).await;
    browser.until("document.querySelector('#overview') !== null").await;
    server.database().execute("DELETE FROM sessions");
    browser.until("document.title.startsWith('Log in')").await;
}
