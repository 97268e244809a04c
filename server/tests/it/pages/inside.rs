use serde_json::json;

use super::{admin, assert_guarded, lively};
use crate::support::{Browser, TestServer, Visitor};

/// Whoever may read the config sees nodes, database, tasks and limits; others see that there is a server.
#[tokio::test]
async fn about_tells_what_the_server_stands_on() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    server.run_tasks().await;
    let page = admin(&server).get("/about").await.text;
    assert!(page.contains("SQLite 3") || page.contains("MySQL or MariaDB 1"), "{page}");
    for part in ["Periodic tasks of this node", "renew lease", "take census", "no limit was reached", "this node"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let observer = Visitor::of(&server.address, &server.user("observer"));
    let little = observer.get("/about").await.text;
    for part in ["SQLite", "MariaDB", "Periodic tasks", "Limits that"] {
        assert!(!little.contains(part), "{part}: {little}");
    }
    // A task that fails says so.
    server.database().execute("ALTER TABLE host_counts RENAME TO host_counts_away");
    server.run_tasks().await;
    let page = admin(&server).get("/about").await.text;
    assert!(page.contains("1 task failed") && page.contains("Failed"), "{page}");
    server.database().execute("ALTER TABLE host_counts_away RENAME TO host_counts");
}

/// Nodes are shown with their versions, and one that runs another one is marked, as during an upgrade.
#[tokio::test]
async fn versions_of_nodes_that_differ_are_marked() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    server.run_tasks().await;
    let page = admin(&server).get("/about").await.text;
    assert!(!page.contains("different versions") && !page.contains("Differs"), "{page}");
    let now = server.clock.now().0;
    for (id, version) in [("newer", "'99.0.0<b>'"), ("before", "NULL")] {
        server.database().execute(&format!(
            "INSERT INTO replicas (id, written_at, alive_at, version) VALUES ('{id}', {now}, {now}, {version})"
        ));
    }
    let page = admin(&server).get("/about").await.text;
    for part in ["3 nodes of different versions", "99.0.0&lt;b&gt;", "Differs", "Older", "finish the upgrade soon"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// A click on a bar opens what is behind it, and so do the links in the table of the chart.
#[tokio::test]
async fn a_bar_opens_what_is_behind_it() {
    let server = lively::server().await;
    lively::fleet(&server, 2, 3).await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    let click = |number: usize| {
        format!(
            "[...document.querySelectorAll('.chart rect.hit[data-opens]')].at({number}).dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))"
        )
    };
    browser.open(&format!("{}/queries/cost?pack=monitoring&name=processes", server.address.url)).await;
    browser.run(&click(0)).await;
    browser.until("new URL(location).searchParams.get('for') === '3600'").await;
    browser.until("document.querySelectorAll('.chart rect.hit:not(.mark rect)').length === 1").await;
    browser.until("document.querySelector('main').innerText.includes('Worst hosts')").await;
    let hour = browser.url().await;
    browser.open(&format!("{}/queries/cost?pack=monitoring&name=processes", server.address.url)).await;
    let links = browser.value("[...document.querySelectorAll('details.data td a')].map((link) => link.href)").await;
    assert!(links.as_array().unwrap().iter().any(|link| link.as_str() == Some(&hour)), "{hour}: {links}");
    browser.open(&format!("{}/", server.address.url)).await;
    browser.run(&click(0)).await;
    browser.until("location.pathname === '/hosts' && location.search === '?status=online'").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    for (at, seconds) in [("x", "3600"), ("-1", "3600"), ("0", "999999999"), ("99999999999999999", "60")] {
        let page = format!("/queries/cost?pack=monitoring&name=processes&at={at}&for={seconds}");
        assert_eq!(admin(&server).get(&page).await.status, 200, "{page}");
    }
}

/// The list of hosts leads to the page that tells how to add one, for users who may.
#[tokio::test]
async fn the_list_of_hosts_leads_to_adding_one() {
    let server = TestServer::start().await;
    for hosts in 0..2 {
        let link = "href=\"hosts/add\"";
        assert!(admin(&server).get("/hosts").await.text.contains(link), "with {hosts} hosts");
        assert!(admin(&server).get("/").await.text.contains(link), "with {hosts} hosts");
        server.enrolled(1).await;
    }
    let observer = Visitor::of(&server.address, &server.user("observer"));
    assert!(!observer.get("/hosts").await.text.contains("hosts/add"));
    assert!(!observer.get("/").await.text.contains("hosts/add"));
}

/// Changes of what hosts run stand beside what got worse, and on the axis of time, with who made them.
#[tokio::test]
async fn changes_are_marked_with_their_author() {
    let server = lively::server().await;
    lively::fleet(&server, 3, 3).await;
    let visitor = admin(&server);
    let overview = visitor.get("/").await.text;
    for part in ["What changed lately", "What got worse", "applied documents", "class=\"mark\"", "class=\"spark\""] {
        assert!(overview.contains(part), "{part}: {overview}");
    }
    let cost = visitor.get("/queries/cost?pack=monitoring&name=processes").await.text;
    assert!(cost.contains("class=\"mark\"") && cost.contains("Show the changes meanwhile"), "{cost}");
    let log = visitor.get("/queries/cost?pack=monitoring&name=processes&scale=log").await.text;
    assert!(log.contains("aria-current=\"true\">Logarithmic"), "{log}");
    let queries = visitor.get("/queries").await.text;
    assert!(queries.contains("class=\"spark\""), "{queries}");
    let little = Visitor::of(&server.address, &server.user("observer")).get("/").await.text;
    assert!(!little.contains("class=\"mark\"") && !little.contains("What changed lately"), "{little}");
}

/// The values of a moment stand beside the pointer.
#[tokio::test]
async fn a_chart_tells_the_values_under_the_pointer() {
    let server = lively::server().await;
    lively::fleet(&server, 2, 3).await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&format!("{}/queries/cost?pack=monitoring&name=processes", server.address.url)).await;
    let hit = "document.querySelector('.chart rect.hit:not(.mark rect)')";
    browser
        .value(&format!(
            "{hit}.dispatchEvent(new PointerEvent('pointermove', {{ bubbles: true, clientX: 90, clientY: 90 }}))"
        ))
        .await;
    browser
        .until("!document.querySelector('.tip').hidden && document.querySelector('.tip').innerText.includes('p95')")
        .await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

/// The first steps lead to a real host, and go away when they are put away.
#[tokio::test]
async fn first_steps_are_put_away() {
    let server = lively::server().await;
    lively::fleet(&server, 1, 1).await;
    let mut visitor = admin(&server);
    let page = visitor.get("/").await.text;
    assert!(page.contains("First steps") && page.contains("--enroll_tls_endpoint=/api/v1/osquery/enroll"), "{page}");
    let away = visitor.submit("/", "/first-steps", &[]).await;
    assert_eq!(away.status, 303);
    let session = visitor.cookie.clone().unwrap();
    let set = away.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("muster_first_steps=away;") && set.contains("HttpOnly"), "{set}");
    visitor.cookie = Some(format!("{session}; muster_first_steps=away"));
    assert!(!visitor.get("/").await.text.contains("First steps"));
    let observer = Visitor::of(&server.address, &server.user("observer"));
    assert!(!observer.get("/").await.text.contains("First steps"), "observers enroll no host");
}

/// A browser that asks for what is not there sees a page with the menu, strangers the login, and programs JSON.
#[tokio::test]
async fn an_unknown_address_has_a_page() {
    let server = TestServer::start().await;
    let (visitor, stranger) = (admin(&server), Visitor::stranger(&server.address));
    let browse = async |visitor: &Visitor, path: &str| {
        Visitor::finish(visitor.getting(path).header("Accept", "text/html,application/xml;q=0.9,*/*;q=0.8")).await
    };
    let unknown = ["/nope", "/hosts/abc", "/queries/nope", "/live/nope", "/settings/secrets/nope"];
    for path in unknown.into_iter().chain(["/hosts/selected/refetch"]) {
        let page = browse(&visitor, path).await;
        assert_eq!(page.status, 404, "{path}: {}", page.text);
        assert_guarded(path, &page);
        for part in ["There is no page at this address", "href=\"./hosts\""] {
            assert!(page.text.contains(part), "{path}, {part}: {}", page.text);
        }
        let login = browse(&stranger, path).await;
        assert_eq!(login.status, 303, "{path}: {}", login.text);
        let location = login.headers["location"].to_str().unwrap();
        assert!(location.starts_with("/login?next="), "{path}: {location}");
        let answer = visitor.get(path).await;
        assert_eq!((answer.status, answer.problems()), (404, vec!["base: no such operation".to_owned()]), "{path}");
    }
    for path in ["/api", "/api/nope", "/api/v1/fleet/nope"] {
        let answer = browse(&visitor, path).await;
        assert_eq!((answer.status, answer.problems()), (404, vec!["base: no such operation".to_owned()]), "{path}");
    }
    // A scheduled query that nobody knows has no cost.
    let page = browse(&visitor, "/queries/cost?pack=x&name=y").await;
    assert_eq!(page.status, 404, "{}", page.text);
    assert!(page.text.contains("Scheduled query y was not found"), "{}", page.text);
}

/// Edits of queries are changes of what hosts run if a pack schedules them.
#[tokio::test]
async fn edits_of_queries_that_nothing_schedules_are_no_changes_of_hosts() {
    let server = lively::server().await;
    server.enrolled(1).await;
    let apart = "
kind: query
spec: {name: apart, query: SELECT 1}
";
    server.rest.apply_yaml(apart).await;
    let number = |name: &str| server.number(&format!("SELECT id FROM queries WHERE name = '{name}'"));
    for name in ["apart", "uptime"] {
        let edit = json!({ "description": "edited" });
        let edited = server.rest.send("PATCH", &format!("queries/{}", number(name)), Some(&edit)).await;
        assert_eq!(edited.status, 200, "{name}: {}", edited.text);
    }
    let page = admin(&server).get("/").await.text;
    assert!(page.contains("edited saved query uptime"), "{page}");
    assert!(!page.contains("edited saved query apart"), "{page}");
}

/// Observers read what concerns them, and of nothing that their pages do not have.
#[tokio::test]
async fn observers_read_of_what_they_see() {
    let server = lively::server().await;
    lively::fleet(&server, 3, 4).await;
    server.rest.post("live_queries", &json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    let observer = Visitor::of(&server.address, &server.user("observer"));
    let overview = observer.get("/").await.text;
    assert!(overview.contains("You have not asked the fleet anything yet"), "{overview}");
    assert!(!overview.contains("Change of what hosts run"), "{overview}");
    let watchdog = observer.get("/watchdog").await.text;
    assert!(!watchdog.contains("workers that were replaced"), "{watchdog}");
    let live = observer.get("/live").await.text;
    assert!(live.contains("You have not asked anything yet") && live.contains("choose one under"), "{live}");
    let saved = observer.get("/live?saved=system%20info").await.text;
    assert!(saved.contains("Runs the saved query") && !saved.contains("Write SQL instead"), "{saved}");
    let stalled = server.rest.get("statistics/stalled").await.json();
    let host = &stalled["hosts"][0]["host_id"];
    let page = observer.get(&format!("/hosts/{host}")).await.text;
    assert!(page.contains("Stalled: the agent checks in"), "{page}");
    let all = admin(&server);
    assert!(all.get("/").await.text.contains("Change of what hosts run"));
    assert!(all.get("/live?saved=uptime").await.text.contains("Write SQL instead"));
    server.database().execute("UPDATE queries SET observer_can_run = 0");
    let live = observer.get("/live").await.text;
    assert!(live.contains("A maintainer can allow one"), "{live}");
}
