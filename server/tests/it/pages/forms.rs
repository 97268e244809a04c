use muster_api::rest::HostList;

use super::{PAGES, admin, assert_guarded, lively};
use crate::support::{Answer, PASSWORD, Rest, TestServer, Visitor, token};

fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.headers["location"].to_str().unwrap()
}

#[tokio::test]
async fn the_first_visitor_sets_the_server_up_and_is_logged_in() {
    let server = TestServer::empty(|_| {}).await;
    let mut visitor = Visitor::stranger(&server.address);
    assert_eq!(location(&visitor.get("/hosts?status=online").await), "/login?next=%2Fhosts%3Fstatus%3Donline");
    assert_eq!(location(&visitor.get("/login").await), "/setup");
    let page = visitor.get("/setup").await;
    assert_guarded("/setup", &page);
    visitor.take_cookie(&page, "muster_visitor");
    let fields = |password| {
        [
            ("email", "one@example.com"),
            ("name", "One"),
            ("password", password),
            ("password_confirmation", PASSWORD),
            ("server_url", "https://x"),
        ]
    };
    let refused = visitor.submit("/setup", "/setup", &fields("short")).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("one@example.com") && refused.text.contains("class=\"problem\""), "{}", refused.text);
    assert!(!refused.text.contains("\"short\""), "a password is never sent back");
    let done = visitor.submit("/setup", "/setup", &fields(PASSWORD)).await;
    assert_eq!(location(&done), "/");
    visitor.take_cookie(&done, "muster_session");
    let overview = visitor.get("/").await;
    assert!(overview.text.contains("No host has enrolled yet"), "{}", overview.text);
    assert_eq!(location(&Visitor::stranger(&server.address).get("/setup").await), "/", "it is there once");
}

#[tokio::test]
async fn a_session_is_a_cookie_of_pages_alone() {
    let server = TestServer::start().await;
    let mut visitor = Visitor::stranger(&server.address);
    let page = visitor.get("/login?next=%2Fhosts").await;
    visitor.take_cookie(&page, "muster_visitor");
    let login = "/login?next=%2Fhosts";
    let wrong = visitor.submit(login, "/login", &[("email", "admin@example.com"), ("password", "wrong")]).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text.contains("There is no user with this address and password"), "{}", wrong.text);
    let fields = [("email", "admin@example.com"), ("password", PASSWORD), ("next", "/hosts")];
    let done = visitor.submit(login, "/login", &fields).await;
    assert_eq!(location(&done), "/hosts");
    let cookie = done.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let cookie = cookie.filter(|cookie| cookie.starts_with("__Host-muster_session=")).collect::<Vec<_>>().join("");
    for part in ["; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    visitor.take_cookie(&done, "muster_session");
    assert_eq!(visitor.get("/hosts").await.status, 200);
    // REST knows no cookies, and pages know no bearer tokens.
    assert_eq!(visitor.get("/api/v1/fleet/hosts").await.status, 401);
    let bearer = Visitor::stranger(&server.address).getting("/hosts").bearer_auth(server.rest.token());
    assert_eq!(Visitor::finish(bearer).await.status, 303);
    // Nobody is sent to another server after the login.
    for next in ["//evil.example", "https://evil.example/", "/\\evil.example"] {
        let mut stranger = Visitor::stranger(&server.address);
        let page = stranger.get("/login").await;
        stranger.take_cookie(&page, "muster_visitor");
        let fields = [("email", "admin@example.com"), ("password", PASSWORD), ("next", next)];
        assert_eq!(location(&stranger.submit("/login", "/login", &fields).await), "/");
    }
    let gone = visitor.submit("/", "/logout", &[]).await;
    assert_eq!(location(&gone), "/login");
    assert_eq!(visitor.get("/hosts").await.status, 303, "the session has ended");
}

/// What is wrong with a form, its fields, and where the browser says that it comes from.
type ForgedForm<'a> = (&'a str, Vec<(&'a str, &'a str)>, Option<&'a str>);

#[tokio::test]
async fn a_forged_form_changes_nothing() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let visitor = admin(&server);
    let good = token(&visitor.get("/hosts/1").await.text);
    let other = server.user("admin");
    let of_another = token(&Visitor::of(&server.address, &other).get("/hosts/1").await.text);
    let forged: [ForgedForm<'_>; 6] = [
        ("without a token", vec![], None),
        ("with a made-up token", vec![("form_token", "made-up")], None),
        ("with the token of another user", vec![("form_token", &of_another)], None),
        ("from another site", vec![("form_token", &good)], Some("cross-site")),
        ("from a neighbour", vec![("form_token", &good)], Some("same-site")),
        ("with an empty token", vec![("form_token", "")], Some("same-origin")),
    ];
    for path in ["/hosts/1/delete", "/hosts/1/refetch", "/live", "/users", "/logout", "/theme"] {
        for (what, fields, site) in &forged {
            let mut request = visitor.posting(path, fields);
            if let Some(site) = site {
                request = request.header("Sec-Fetch-Site", *site);
            }
            let answer = Visitor::finish(request).await;
            assert_eq!(answer.status, 403, "{path} {what}: {}", answer.text);
            assert_guarded(path, &answer);
        }
    }
    // The login, too: nobody is logged in as somebody else.
    let stranger = Visitor::stranger(&server.address);
    let fields = [("email", "admin@example.com"), ("password", PASSWORD)];
    assert_eq!(Visitor::finish(stranger.posting("/login", &fields)).await.status, 403);
    assert_eq!(server.rest.read::<HostList>("hosts").await.hosts.len(), 1);
    assert_eq!(server.number("SELECT count(*) FROM live_queries"), 0);
    let sent = Visitor::finish(visitor.posting("/hosts/1/delete", &[("form_token", good.as_str())])).await;
    assert_eq!(location(&sent), "/hosts?notice=deleted");
    assert!(server.rest.read::<HostList>("hosts").await.hosts.is_empty());
}

#[tokio::test]
async fn pages_are_guarded_small_and_compressed() {
    let server = lively::server().await;
    lively::fleet(&server, 4, 2).await;
    server.rest.post("live_queries", &serde_json::json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    let visitor = admin(&server);
    for (path, _) in PAGES {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_guarded(path, &answer);
        assert!(answer.text.len() <= 60_000, "{path}: {} bytes", answer.text.len());
        let zipped = visitor.getting(path).header("Accept-Encoding", "gzip").send().await.unwrap();
        if answer.text.len() > 1_000 {
            assert_eq!(zipped.headers()["content-encoding"], "gzip", "{path}");
        }
        let bytes = zipped.bytes().await.unwrap().len();
        assert!(bytes <= 30_000, "{path}: {bytes} bytes over the wire");
    }
    // What pages load never changes under its address.
    let page = visitor.get("/").await.text;
    let assets: Vec<&str> = page.split('"').filter(|text| text.starts_with("assets/")).collect();
    assert_eq!(assets.len(), 3);
    for asset in assets {
        let answer = Visitor::stranger(&server.address).get(&format!("/{asset}")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"));
        assert!(answer.text.len() < 40_000, "{asset}");
    }
    assert_eq!(visitor.get("/assets/muster.old.css").await.status, 404);
}

/// A person who may not do something is told so on a page, and what is not there is not there.
#[tokio::test]
async fn failures_are_pages() {
    let server = TestServer::start().await;
    let visitor = admin(&server);
    for (path, status, text) in [
        ("/hosts/99", 404, "was not found"),
        ("/hosts?status=asleep", 422, "there is no status asleep"),
        ("/hosts?sort=colour", 422, "cannot be ordered by colour"),
        ("/live/99", 404, "was not found"),
        ("/queries/99", 404, "was not found"),
        ("/hosts/99999999999999999999", 404, "was not found"),
        ("/live/99999999999999999999/hosts?state=sent", 404, "was not found"),
    ] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.text.contains(text), "{path}: {}", answer.text);
        assert_guarded(path, &answer);
    }
    for path in ["/queries", "/queries/saved", "/packs", "/users"] {
        assert_eq!(visitor.get(&format!("{path}?from=18446744073709551615")).await.status, 200, "{path}");
    }
    // What is no page is answered as before.
    let unknown = Rest::new(&server.address).get("/nothing").await;
    assert_eq!((unknown.status, unknown.json()["message"].as_str()), (404, Some("Resource Not Found")));
}

/// Pages keep to the prefix of the server.
#[tokio::test]
async fn pages_live_below_a_prefix() {
    let server = TestServer::with(|config| config.server.url_prefix = "/muster".to_owned()).await;
    let visitor = admin(&server);
    for path in ["", "/", "/hosts"] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text.contains("<base href=\"/muster/\">"), "{}", page.text);
    }
    assert_eq!(location(&Visitor::stranger(&server.address).get("/hosts").await), "/muster/login?next=%2Fhosts");
}

/// Pages of hosts with one value each give every host once, in either direction.
#[tokio::test]
async fn pages_of_hosts_follow_each_other() {
    let mut server = TestServer::start().await;
    crate::rest::hosts::add_hosts_to(&mut server, 130).await;
    let visitor = admin(&server);
    for sort in ["hostname", "osquery_version&direction=desc", "seen_time", "enrolled&direction=asc"] {
        let (mut hosts, mut next) = (Vec::new(), Some(format!("/hosts?sort={sort}")));
        while let Some(path) = next {
            let page = visitor.get(&path).await.text;
            let links = page.split("td class=\"name\"><a href=\"hosts/").skip(1);
            hosts.extend(links.map(|link| link.split('"').next().unwrap().to_owned()));
            let after = page
                .split("class=\"button\" href=\"")
                .find(|link| link.starts_with("hosts?") && link.contains("after_id"));
            next = after.map(|link| format!("/{}", link.split('"').next().unwrap().replace("&amp;", "&")));
        }
        let given = hosts.len();
        hosts.sort();
        hosts.dedup();
        assert_eq!((given, hosts.len()), (130, 130), "{sort}");
    }
}
