use muster_api::rest::{Role, UserList};
use muster_api::spec::QuerySpec;
use serde_json::{Value, json};

use super::{admin, assert_guarded, hidden};
use crate::support::{Answer, Browser, ENROLL_SECRET, PASSWORD, TestServer, Visitor, token};

fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.headers["location"].to_str().unwrap()
}

/// Sends a form that stands on a page that was answered to another form.
async fn send(visitor: &Visitor, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let token = token(page);
    let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("form_token", token.as_str())]).collect();
    Visitor::finish(visitor.posting(path, &fields)).await
}

async fn spec(server: &TestServer, name: &str) -> QuerySpec {
    serde_json::from_value(server.rest.get(&format!("spec/queries/{name}")).await.json()["specs"].clone()).unwrap()
}

/// A server with a query that a pack schedules on all hosts.
async fn with_query() -> TestServer {
    let server = TestServer::start().await;
    server
        .rest
        .apply(&[
            json!({ "kind": "query", "spec": { "name": "ports", "query": "SELECT pid\nFROM listening_ports\nLIMIT 5" } }),
            json!({ "kind": "pack", "spec": { "name": "network", "targets": { "labels": ["All Hosts"] },
                "queries": [{ "query": "ports", "interval": 60 }] } }),
        ])
        .await;
    server
}

#[tokio::test]
async fn a_query_is_made_edited_and_deleted() {
    let server = TestServer::start().await;
    let visitor = admin(&server);
    let typed = [("name", "new one"), ("sql", " "), ("description", "Why <b>")];
    let refused = visitor.submit("/queries/new", "/queries/new", &typed).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("new one") && refused.text.contains("Why &lt;b&gt;"), "{}", refused.text);
    assert_guarded("/queries/new", &refused);
    let typed = [("name", "new one"), ("sql", "SELECT 1\r\nFROM processes"), ("observers", "true")];
    let made = visitor.submit("/queries/new", "/queries/new", &typed).await;
    let path = location(&made).split('?').next().unwrap().to_owned();
    let stored = spec(&server, "new one").await;
    assert_eq!((stored.query.as_str(), stored.observer_can_run), ("SELECT 1\nFROM processes", true));
    let taken = visitor.submit("/queries/new", "/queries/new", &typed).await;
    assert!(taken.status == 422 && taken.text.contains("already exists"), "{}", taken.text);
    // A form that nobody has changed changes nothing.
    let edit = format!("{path}/edit");
    let form = visitor.get(&edit).await.text;
    let mark = hidden(&form, "mark");
    let same = [
        ("name", "new one"),
        ("sql", "SELECT 1\r\nFROM processes"),
        ("observers", "true"),
        ("mark", &mark),
        ("step", "review"),
    ];
    let review = send(&visitor, &form, &edit, &same).await;
    assert!(
        review.text.contains("stored like this already") && !review.text.contains("Save changes"),
        "{}",
        review.text
    );
    // A change is shown before it is made.
    let typed = [("name", "new one"), ("sql", "SELECT 2\r\nFROM processes"), ("mark", &mark), ("step", "review")];
    let review = send(&visitor, &form, &edit, &typed).await;
    assert_eq!(review.status, 200, "{}", review.text);
    for part in ["SELECT 1", "SELECT 2", "observer_can_run", "No pack schedules it", "Save changes"] {
        assert!(review.text.contains(part), "{part}: {}", review.text);
    }
    assert_guarded(&edit, &review);
    assert_eq!(spec(&server, "new one").await.query, "SELECT 1\nFROM processes");
    let back = [("name", "new one"), ("sql", "SELECT 2"), ("mark", &mark), ("step", "edit")];
    assert!(send(&visitor, &review.text, &edit, &back).await.text.contains("SELECT 2</textarea>"));
    let saved = [("name", "new one"), ("sql", "SELECT 2\r\nFROM processes"), ("mark", &mark), ("step", "save")];
    assert_eq!(location(&send(&visitor, &review.text, &edit, &saved).await), format!("{path}?notice=saved"));
    assert_eq!(spec(&server, "new one").await.query, "SELECT 2\nFROM processes");
    let page = visitor.get(&path).await.text;
    assert!(page.contains("History") && page.contains("observer_can_run") && page.contains(">created"), "{page}");
    let deleted = visitor.submit(&format!("{path}/delete"), &format!("{path}/delete"), &[]).await;
    assert_eq!(location(&deleted), "/queries/saved?notice=deleted");
    assert_eq!(visitor.get(&path).await.status, 404);
    // What it was is not lost.
    let activity = visitor.get("/activity").await.text;
    let last = activity.split("href=\"activity/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let reported = visitor.get(&format!("/activity/{last}")).await.text;
    assert!(reported.contains("Deleted saved query") && reported.contains("SELECT 2"), "{reported}");
}

#[tokio::test]
async fn an_edit_names_what_it_touches_and_a_scheduled_query_stays() {
    let server = with_query().await;
    for index in 0..2 {
        crate::checkin::settle(&mut server.enrolled(index).await).await;
    }
    server.run_tasks().await;
    let visitor = admin(&server);
    let form = visitor.get("/queries/1/edit").await.text;
    let typed = [("name", "ports"), ("sql", "SELECT 1"), ("mark", &hidden(&form, "mark")), ("step", "review")];
    let review = send(&visitor, &form, "/queries/1/edit", &typed).await.text;
    for part in ["1 pack schedules", "network", "2 hosts get"] {
        assert!(review.contains(part), "{part}: {review}");
    }
    let page = visitor.get("/queries/1/delete").await.text;
    assert!(
        page.contains("cannot be deleted") && page.contains("network") && !page.contains("Delete 1 query"),
        "{page}"
    );
    let refused = visitor.submit("/queries/1/edit", "/queries/1/delete", &[]).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
}

/// Two people edit the same query: the second is told, sees the difference to what is stored now, and has lost nothing.
#[tokio::test]
async fn a_conflict_is_told_and_loses_nothing() {
    let server = with_query().await;
    let visitor = admin(&server);
    let form = visitor.get("/queries/1/edit").await.text;
    let mark = hidden(&form, "mark");
    let changed = server.rest.send("PATCH", "queries/1", Some(&json!({ "query": "SELECT 'theirs'" }))).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let mine =
        [("name", "ports"), ("sql", "SELECT 'mine'"), ("description", "My reason"), ("mark", &mark), ("step", "save")];
    let reported = send(&visitor, &form, "/queries/1/edit", &mine).await;
    assert_eq!(reported.status, 409, "{}", reported.text);
    for part in ["Somebody else has changed", "theirs", "mine", "My reason"] {
        assert!(reported.text.contains(part), "{part}: {}", reported.text);
    }
    assert_eq!(spec(&server, "ports").await.query, "SELECT 'theirs'");
    // Whoever saves now has seen what is stored.
    let mark = hidden(&reported.text, "mark");
    let mine =
        [("name", "ports"), ("sql", "SELECT 'mine'"), ("description", "My reason"), ("mark", &mark), ("step", "save")];
    assert_eq!(location(&send(&visitor, &reported.text, "/queries/1/edit", &mine).await), "/queries/1?notice=saved");
    assert_eq!(spec(&server, "ports").await.query, "SELECT 'mine'");
    // Of a query that is gone, what was typed becomes a new one.
    server.rest.send("DELETE", "packs/id/1", None).await;
    assert_eq!(server.rest.send("DELETE", "queries/id/1", None).await.status, 200);
    let reported = send(&visitor, &form, "/queries/1/edit", &mine).await;
    assert_eq!(reported.status, 422, "{}", reported.text);
    for part in ["deleted meanwhile", "SELECT &#39;mine&#39;", "action=\"queries/new\""] {
        assert!(reported.text.replace("'", "&#39;").contains(part), "{part}: {}", reported.text);
    }
}

const OPTIONS: &str = "config:
  options:
    pack_delimiter: /
    logger_tls_period: 10
    distributed_plugin: tls
    disable_distributed: false
    logger_tls_endpoint: /api/v1/osquery/log
    distributed_interval: 20
    distributed_tls_max_attempts: 3
    aws_secret_access_key: obviously-not-a-key
overrides: {}
";

#[tokio::test]
async fn agent_options_are_checked_in_place_and_reviewed() {
    let server = TestServer::start().await;
    let visitor = admin(&server);
    let form = visitor.get("/settings").await;
    assert!(form.text.contains("distributed_interval: 10"), "{}", form.text);
    let mark = hidden(&form.text, "mark");
    for (text, parts) in [
        ("config:\n  options: [\n", ["Line", "options: ["]),
        ("config:\n  options: {}\n  decorators: 5\n", ["Line 3", "decorators: 5"]),
        ("config:\n  opions: {}\n", ["Line 2", "did you mean"]),
        ("- 1\n- <script>\n", ["expects an object", "&lt;script&gt;"]),
        ("# nothing\n", ["nothing here", "# nothing"]),
    ] {
        for step in ["review", "save"] {
            let reported =
                send(&visitor, &form.text, "/settings", &[("options", text), ("mark", &mark), ("step", step)]).await;
            assert_eq!(reported.status, 422, "{text}: {}", reported.text);
            for part in parts {
                assert!(reported.text.contains(part), "{part}: {}", reported.text);
            }
            assert_guarded("/settings", &reported);
        }
    }
    let review =
        send(&visitor, &form.text, "/settings", &[("options", OPTIONS), ("mark", &mark), ("step", "review")]).await;
    assert_eq!(review.status, 200, "{}", review.text);
    for part in ["config.options.distributed_interval", "<del>", "<ins>", "config.decorators", "Save changes"] {
        assert!(review.text.contains(part), "{part}: {}", review.text);
    }
    assert_eq!(server.number("SELECT count(*) FROM object_changes WHERE kind = 'config'"), 0);
    // What is valid and probably a mistake is told before it is saved.
    let doubtful = "config:\n  options:\n    distributed_intervall: 5\n";
    let reported =
        send(&visitor, &form.text, "/settings", &[("options", doubtful), ("mark", &mark), ("step", "review")]).await;
    assert!(reported.text.contains("Look twice") && reported.text.contains("Line 3"), "{}", reported.text);
    let save = [("options", OPTIONS), ("mark", mark.as_str()), ("step", "save")];
    assert_eq!(location(&send(&visitor, &review.text, "/settings", &save).await), "/settings?notice=saved");
    let stored = server.rest.get("spec/osquery_options").await.json();
    assert_eq!(stored["spec"]["config"]["options"]["distributed_interval"], 20);
    // The second of two who edit is told.
    let reported =
        send(&visitor, &review.text, "/settings", &[("options", "config: {}"), ("mark", &mark), ("step", "save")])
            .await;
    assert_eq!(reported.status, 409, "{}", reported.text);
    assert!(
        reported.text.contains("Somebody else has changed") && reported.text.contains("config: {}"),
        "{}",
        reported.text
    );
    // The history tells what changed, and no secret.
    for path in ["/settings/history", "/activity", "/activity/2"] {
        let page = visitor.get(path).await.text;
        assert!(!page.contains("obviously-not-a-key"), "{path}: {page}");
    }
    let history = visitor.get("/settings/history").await.text;
    assert!(history.contains("distributed_interval") && history.contains("may be secret"), "{history}");
    assert_eq!(server.number("SELECT count(*) FROM object_changes WHERE fields LIKE '%obviously%'"), 0);
    // Maintainers read them, and cannot change them.
    let maintainer = Visitor::of(&server.address, &server.user("maintainer"));
    let page = maintainer.get("/settings").await.text;
    assert!(page.contains("distributed_interval: 20") && !page.contains("<textarea"), "{page}");
}

#[tokio::test]
async fn secrets_are_shown_on_request_added_and_removed() {
    let server = TestServer::start().await;
    let visitor = admin(&server);
    let page = visitor.get("/settings/secrets").await.text;
    assert!(!page.contains(ENROLL_SECRET) && page.contains("Show secrets"), "{page}");
    let shown = visitor.submit("/settings/secrets", "/settings/secrets/show", &[]).await;
    assert!(shown.status == 200 && shown.text.contains(ENROLL_SECRET), "{}", shown.text);
    assert_guarded("/settings/secrets/show", &shown);
    let add = async |name: &'static str, secret: &'static str| {
        visitor.submit("/settings/secrets", "/settings/secrets", &[("name", name), ("secret", secret)]).await
    };
    assert_eq!(location(&add("office", "for-the-office-only").await), "/settings/secrets?notice=added");
    assert_eq!(location(&add("made", "").await), "/settings/secrets?notice=added");
    for (name, secret) in [("office", "another"), ("third", "for-the-office-only"), ("", "x"), ("fourth", " x ")] {
        let refused = add(name, secret).await;
        assert_eq!(refused.status, 422, "{name} {secret}: {}", refused.text);
        assert!(!refused.text.contains("for-the-office-only"), "{}", refused.text);
    }
    let add_until = async |name: &'static str, last_day: &'static str, quota: &'static str| {
        let fields = [("name", name), ("secret", ""), ("expires_at", last_day), ("quota", quota)];
        visitor.submit("/settings/secrets", "/settings/secrets", &fields).await
    };
    for (last_day, quota) in [("2000-01-01", ""), ("tomorrow", ""), ("", "0"), ("", "many")] {
        let refused = add_until("limited", last_day, quota).await;
        assert_eq!(refused.status, 422, "{last_day} {quota}: {}", refused.text);
        assert!(refused.text.contains("class=\"problem\""), "{}", refused.text);
    }
    assert_eq!(location(&add_until("limited", "2099-12-30", "25").await), "/settings/secrets?notice=added");
    let page = visitor.get("/settings/secrets").await.text;
    assert!(page.contains("0 of 25") && page.contains("2099-12-31 00:00:00 UTC"), "{page}");
    let flags = agent_compat::agent::Flags { enroll_secret: "for-the-office-only".into(), ..Default::default() };
    let mut agent = server.address.agent_with(server.agent(0).agent().identity().clone(), flags.clone());
    assert!(agent.enroll().await.verdict.is_success());
    server.run_tasks().await;
    let id = server.number("SELECT id FROM enroll_secrets WHERE name = 'office'");
    let path = format!("/settings/secrets/{id}/remove");
    let page = visitor.get(&path).await.text;
    assert!(page.contains("Hosts stay enrolled") && page.contains("3 other secrets are left"), "{page}");
    assert_eq!(location(&visitor.submit(&path, &path, &[]).await), "/settings/secrets?notice=removed");
    let mut other = server.address.agent_with(server.agent(1).agent().identity().clone(), flags);
    assert!(!other.enroll().await.verdict.is_success());
    assert_eq!(visitor.get(&path).await.status, 404);
    // Nothing that is kept tells a secret.
    for column in ["details", "kind"] {
        let found = format!("SELECT count(*) FROM activities WHERE {column} LIKE '%for-the-office%'");
        assert_eq!(server.number(&found), 0);
    }
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind LIKE '%_enroll_secret'"), 4);
}

#[tokio::test]
async fn adding_hosts_is_told_for_each_platform() {
    let server = TestServer::start().await;
    let visitor = admin(&server);
    for (platform, folder) in
        [("linux", "/etc/osquery/"), ("macos", "/var/osquery/"), ("windows", "C:\\Program Files\\osquery\\")]
    {
        let page = visitor.get(&format!("/hosts/add?platform={platform}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert_guarded("/hosts/add", &page);
        assert!(!page.text.contains(ENROLL_SECRET) && !page.text.contains("PRIVATE KEY"), "{}", page.text);
        assert!(page.text.contains("BEGIN CERTIFICATE"), "{}", page.text);
        let flagfile = visitor.get(&format!("/hosts/add/flagfile?platform={platform}")).await;
        assert!(flagfile.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
        assert!(flagfile.text.contains(&format!("--enroll_secret_path={folder}enroll_secret\n")), "{}", flagfile.text);
        assert!(flagfile.text.contains("--enroll_tls_endpoint=/api/v1/osquery/enroll\n"), "{}", flagfile.text);
    }
    let certificate = visitor.get("/hosts/add/certificate").await.text;
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
    let shown = visitor.submit("/hosts/add", "/hosts/add", &[("platform", "windows")]).await;
    assert!(shown.text.contains(ENROLL_SECRET) && shown.text.contains("Restart-Service"), "{}", shown.text);
    // The name that an administrator gave goes before that of the request.
    let patch = json!({ "server_settings": { "server_url": "https://muster.example.com:8080/x" } });
    assert_eq!(server.rest.send("PATCH", "config", Some(&patch)).await.status, 200);
    let request = visitor.getting("/hosts/add/flagfile").header("X-Forwarded-Host", "evil.example");
    let flagfile = Visitor::finish(request).await.text;
    assert!(flagfile.starts_with("--tls_hostname=muster.example.com:8080\n"), "{flagfile}");
    let observer = Visitor::of(&server.address, &server.user("observer"));
    for path in ["/hosts/add", "/hosts/add/flagfile", "/hosts/add/certificate"] {
        assert_eq!(observer.get(path).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn passwords_and_roles_are_changed() {
    let server = TestServer::start().await;
    let visitor = admin(&server);
    let other = server.user("maintainer");
    let users = server.rest.read::<UserList>("users").await.users;
    let maintainer = users.iter().find(|user| user.global_role == Some(Role::Maintainer)).unwrap().id;
    let path = format!("/users/{maintainer}");
    assert!(visitor.get(&path).await.text.contains("Change role"));
    assert_eq!(location(&visitor.submit(&path, &path, &[("role", "Observer")]).await), "/users?notice=saved");
    assert_eq!(Visitor::of(&server.address, &other).get("/packs").await.status, 403);
    assert_eq!(visitor.submit(&path, &path, &[("role", "emperor")]).await.status, 422);
    let own = users.iter().find(|user| user.global_role == Some(Role::Admin)).unwrap().id;
    let refused = visitor.submit(&path, &format!("/users/{own}"), &[("role", "Observer")]).await;
    assert!(refused.status == 422 && refused.text.contains("nobody would be an administrator"), "{}", refused.text);
    let change = async |old: &'static str, new: &'static str, again: &'static str| {
        let fields = [("old_password", old), ("new_password", new), ("password_confirmation", again)];
        visitor.submit("/password", "/password", &fields).await
    };
    for (old, new, again, part) in [
        (PASSWORD, "only-for-tests-2!", "only-for-tests-3!", "not the same"),
        ("wrong", "only-for-tests-2!", "only-for-tests-2!", "does not match"),
        (PASSWORD, "short", "short", "12"),
    ] {
        let refused = change(old, new, again).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert!(refused.text.contains(part), "{part}: {}", refused.text);
        assert!(!refused.text.contains("only-for-tests"), "a password is never sent back");
    }
    assert_eq!(
        location(&change(PASSWORD, "only-for-tests-2!", "only-for-tests-2!").await),
        "/password?notice=password"
    );
    let login = json!({ "email": "admin@example.com", "password": "only-for-tests-2!" });
    assert_eq!(server.rest.post("login", &login).await.status, 200);
}

/// Where a form is sent, its fields, and the least role that may send it.
type GuardedForm<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Each form is for those who may do the same by REST, and for nobody without its token.
#[tokio::test]
async fn forms_that_change_things_are_guarded() {
    let server = with_query().await;
    let options: &[(&str, &str)] = &[("options", "config: {}"), ("step", "review")];
    let forms: [GuardedForm<'_>; 10] = [
        ("/queries/new", &[("name", ""), ("sql", "SELECT 1")], "maintainer"),
        ("/queries/1/edit", &[("name", "ports"), ("sql", "SELECT 1"), ("step", "review")], "maintainer"),
        ("/queries/1/edit", &[("name", "ports"), ("sql", "SELECT 1"), ("step", "edit")], "maintainer"),
        ("/queries/1/edit", &[("name", "ports"), ("sql", "SELECT 1"), ("step", "save"), ("mark", "old")], "maintainer"),
        ("/queries/1/delete", &[], "maintainer"),
        ("/settings", options, "admin"),
        ("/settings/secrets", &[("name", "")], "admin"),
        ("/settings/secrets/99/remove", &[], "admin"),
        ("/settings/secrets/show", &[], "maintainer"),
        ("/users/1", &[("role", "none")], "admin"),
    ];
    let ranks = ["observer", "maintainer", "admin"];
    let rank = |role: &str| ranks.iter().position(|known| *known == role).unwrap();
    for role in ranks {
        let visitor = Visitor::of(&server.address, &server.user(role));
        for (path, fields, least) in forms {
            let answer = visitor.submit("/", path, fields).await;
            let is_allowed = rank(role) >= rank(least);
            // What a wrong form of somebody who may send it is told.
            assert!(
                (answer.status == 403) != is_allowed,
                "{role} {path} {fields:?}: {} {}",
                answer.status,
                answer.text
            );
            let forged = Visitor::finish(visitor.posting(path, fields)).await;
            assert_eq!(forged.status, 403, "{role} {path}");
        }
        let page = visitor.get("/queries/1").await.text;
        let sees_buttons = rank(role) >= rank("maintainer");
        for part in ["queries/1/edit", "queries/1/delete", "id=\"history\""] {
            assert_eq!(page.contains(part), sees_buttons, "{role}: {part}");
        }
        assert_eq!(visitor.get("/queries/saved").await.text.contains("queries/new"), sees_buttons, "{role}");
        assert_eq!(visitor.get("/password").await.status, 200, "{role}");
    }
    assert_eq!(spec(&server, "ports").await.query, "SELECT pid\nFROM listening_ports\nLIMIT 5");
}

/// Every way to change a query, a pack, a label or the options keeps what has changed.
#[tokio::test]
async fn every_change_is_kept_by_field() {
    let server = with_query().await;
    let rest = &server.rest;
    let one = |kind: &str, id: i64, action: &str| {
        server.number(&format!(
            "SELECT count(*) FROM object_changes WHERE kind = '{kind}' AND object_id = {id} AND action = '{action}'"
        ))
    };
    assert_eq!([one("query", 1, "created"), one("pack", 1, "created")], [1, 1], "by documents");
    rest.send("PATCH", "packs/1", Some(&json!({ "platform": "linux" }))).await;
    let scheduled = rest.get("packs/1/scheduled").await.json()["scheduled"][0]["id"].as_i64().unwrap();
    rest.send("PATCH", &format!("schedule/{scheduled}"), Some(&json!({ "interval": 90 }))).await;
    rest.send("PATCH", "queries/1", Some(&json!({ "name": "open ports" }))).await;
    rest.post("labels", &json!({ "name": "web", "query": "SELECT 1" })).await;
    let label = server.number("SELECT id FROM labels WHERE name = 'web'");
    rest.send("PATCH", &format!("labels/{label}"), Some(&json!({ "description": "Those that face the world" }))).await;
    rest.apply(&[json!({ "kind": "config", "spec": { "org_info": { "org_name": "Another" } } })]).await;
    // Applying the same again, and a dry run, are no changes.
    rest.apply(&[json!({ "kind": "config", "spec": { "org_info": { "org_name": "Another" } } })]).await;
    rest.try_apply(&[json!({ "kind": "config", "spec": { "org_info": { "org_name": "Third" } } })], true).await;
    let visitor = admin(&server);
    let pack = visitor.get("/packs/1/history").await.text;
    for part in ["platform", "linux", "queries.ports.interval", "60", "90"] {
        assert!(pack.contains(part), "{part}: {pack}");
    }
    assert!(visitor.get("/queries/1/history").await.text.contains("open ports"));
    assert!(visitor.get(&format!("/labels/{label}")).await.text.contains("Those that face the world"));
    assert!(visitor.get("/settings/history").await.text.contains("org_info.org_name"));
    let kept = [
        one("pack", 1, "changed"),
        one("query", 1, "changed"),
        one("label", label, "created"),
        one("label", label, "changed"),
        one("config", 0, "changed"),
    ];
    assert_eq!(kept, [2, 1, 1, 1, 1]);
    rest.post(
        "spec/delete",
        &json!({ "documents": [
        { "kind": "pack", "spec": { "name": "network" } },
        { "kind": "query", "spec": { "name": "open ports" } },
        { "kind": "label", "spec": { "name": "web" } },
    ] }),
    )
    .await;
    assert_eq!([one("pack", 1, "deleted"), one("query", 1, "deleted"), one("label", label, "deleted")], [1, 1, 1]);
    // An activity with nothing kept, as versions before have left them, is told as before.
    let old = visitor.get("/activity/1").await;
    assert!(old.status == 200 && old.text.contains("is not kept"), "{}", old.text);
}

/// A long history and a large apply are read page by page, in pages of bounded size.
#[tokio::test]
async fn long_histories_come_in_pages() {
    let server = with_query().await;
    for number in 0..45 {
        let sql = format!("SELECT {number}\n{}", "FROM processes -- and much more\n".repeat(200));
        let changed = server.rest.send("PATCH", "queries/1", Some(&json!({ "query": sql }))).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
    }
    let documents: Vec<Value> = (0..120)
        .map(|number| json!({ "kind": "query", "spec": { "name": format!("q{number:03}"), "query": "SELECT 1" } }))
        .collect();
    server.rest.apply(&documents).await;
    let visitor = admin(&server);
    let (mut next, mut pages, mut changes) = (Some("/queries/1/history".to_owned()), 0, 0);
    while let Some(path) = next {
        let page = visitor.get(&path).await.text;
        assert!(page.len() < 60_000, "{path}: {} bytes", page.len());
        changes += page.matches("class=\"split\"").count();
        pages += 1;
        let older = page.split("class=\"button\" href=\"").find(|link| link.starts_with("queries/1/history?before="));
        next = older.map(|link| format!("/{}", link.split('"').next().unwrap()));
    }
    assert_eq!((pages, changes), (3, 46));
    let last = server.number("SELECT max(id) FROM activities");
    let (mut next, mut objects) = (Some(format!("/activity/{last}")), 0);
    while let Some(path) = next {
        let page = visitor.get(&path).await.text;
        assert!(page.len() < 60_000, "{path}: {} bytes", page.len());
        objects += page.matches(" · <bdi>created").count();
        let more = page.split("class=\"button\" href=\"").find(|link| link.starts_with("activity/"));
        next = more.map(|link| format!("/{}", link.split('"').next().unwrap()));
    }
    assert_eq!(objects, 120);
}

/// What is looked at before a query is saved takes as few statements as a page.
#[tokio::test]
async fn a_review_takes_few_statements() {
    let server = with_query().await;
    let visitor = admin(&server);
    let form = visitor.get("/queries/1/edit").await.text;
    let mark = hidden(&form, "mark");
    let typed = [("name", "renamed"), ("sql", "SELECT 1"), ("mark", mark.as_str()), ("step", "review")];
    let mut least = f64::INFINITY;
    for _ in 0..6 {
        let before = server.metric("muster_sql_statements_total").await;
        assert_eq!(send(&visitor, &form, "/queries/1/edit", &typed).await.status, 200);
        least = least.min(server.metric("muster_sql_statements_total").await - before);
    }
    assert!((1.0..=10.0).contains(&least), "{least}");
}

/// A person edits a query with the difference shown before it is saved, looks at its history, and mends agent options.
#[tokio::test]
async fn a_person_edits_a_query_and_the_options() {
    let server = with_query().await;
    let url = |path: &str| format!("{}{path}", server.address.url);
    let browser = Browser::start().await;
    browser.open(&url("/login")).await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&url("/queries/1")).await;
    browser.click("a[href='queries/1/edit']").await;
    browser.until("document.title.startsWith('Edit query')").await;
    browser.write("SELECT pid, port\nFROM listening_ports\nLIMIT 5").await;
    browser.click("button[value=review]").await;
    browser.until("document.title.startsWith('Review changes')").await;
    let lines = "[...document.querySelectorAll('.diff > *')].map((line) => line.innerText).join('|')";
    let shown = browser.value(lines).await;
    for part in ["−SELECT pid|", "+SELECT pid, port|", "FROM listening_ports"] {
        assert!(shown.as_str().unwrap().contains(part), "{part}: {shown}");
    }
    assert!(browser.text().await.contains("1 pack schedules it"));
    assert_eq!(spec(&server, "ports").await.query, "SELECT pid\nFROM listening_ports\nLIMIT 5");
    browser.click("button[value=save]").await;
    browser.until("document.querySelector('.toast')?.innerText === 'Saved.'").await;
    assert_eq!(spec(&server, "ports").await.query, "SELECT pid, port\nFROM listening_ports\nLIMIT 5");
    let history = browser.value("document.querySelector('#history').innerText").await;
    assert!(history.as_str().unwrap().contains("+SELECT pid, port"), "{history}");
    browser.click("#history .split a").await;
    browser.until("location.pathname.startsWith('/activity/')").await;
    assert!(browser.text().await.contains("SELECT pid, port"));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    // What is wrong with options stands beside them, and leads to its line.
    browser.open(&url("/settings")).await;
    browser.write("config:\n  options: {}\n  decorators: 5").await;
    browser.click("button[value=review]").await;
    browser.until("document.querySelector('.notes')?.innerText.includes('Line 3') === true").await;
    browser.until_edits().await;
    browser.click(".notes [data-line]").await;
    browser.until("getSelection().toString() === '  decorators: 5'").await;
    assert_eq!(browser.value("document.querySelector('.cm-wrong').innerText").await, "  decorators: 5");
    // The console tells of every refusal.
    let refused = browser.complaints().await;
    assert!(refused.iter().all(|line| line.contains("status of 422")), "{refused:?}");
    browser.open(&url("/hosts/add")).await;
    assert_eq!(browser.value("getComputedStyle(document.querySelector('.copy')).display !== 'none'").await, true);
    browser.click("[data-copy=flagfile]").await;
    browser.until("/Copied|Selected/.test(document.querySelector('[data-copy=flagfile]').innerText)").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_person_makes_and_removes_a_user() {
    let server = TestServer::start().await;
    let url = |path: &str| format!("{}{path}", server.address.url);
    let browser = Browser::start().await;
    browser.open(&url("/login")).await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&url("/users")).await;
    for (field, text) in [("email", "new@example.com"), ("name", "New"), ("password", PASSWORD)] {
        browser.fill(&format!("input[name={field}]"), text).await;
    }
    browser.click("button.primary").await;
    browser.until("document.querySelector('.toast')?.innerText.includes('can log in') === true").await;
    assert!(browser.text().await.contains("new@example.com"));
    browser.click("a[href^='users/']:not([href$='/delete'])").await;
    browser.until("document.querySelector('select[name=role]')?.value === 'Observer'").await;
    browser.click("option[value=Maintainer]").await;
    browser.click("button.primary").await;
    browser.until("document.querySelector('.toast')?.innerText === 'Saved.'").await;
    assert_eq!(server.number("SELECT count(*) FROM users WHERE global_role = 'maintainer'"), 1);
    browser.click("a[href$='/delete']").await;
    browser.until("document.querySelector('h1')?.innerText.startsWith('Delete') === true").await;
    browser.click("button.danger").await;
    browser.until("document.querySelector('.toast')?.innerText === 'Deleted.'").await;
    assert_eq!(server.number("SELECT count(*) FROM users"), 1);
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
