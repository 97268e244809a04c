use std::time::Duration;

use muster_api::rest::LoggedIn;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Rest, ServerSetup, TestServer, eventually};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn log_in(rest: &Rest, email: &str, password: &str) -> Answer {
    rest.anonymous().post("login", &json!({ "email": email, "password": password })).await
}

#[tokio::test]
async fn a_login_opens_a_session_and_a_logout_ends_it_alone() {
    let server = TestServer::start().await;
    let mut tokens = Vec::new();
    for email in ["admin@example.com", "  ADMIN@Example.com "] {
        let done: LoggedIn = log_in(&server.rest, email, PASSWORD).await.read();
        assert_eq!(done.user.email, "admin@example.com");
        tokens.push(done.token);
    }
    assert_ne!(tokens[0], tokens[1]);
    let (first, second) = (server.rest.with_token(&tokens[0]), server.rest.with_token(&tokens[1]));
    assert_eq!(first.get("me").await.json()["user"]["name"], "Admin");
    assert_eq!(first.post("logout", &json!({})).await.status, 200);
    assert_eq!(first.get("me").await.status, 401);
    assert_eq!(second.get("me").await.status, 200);
    let user_name = server.rest.post("login", &json!({ "username": "admin@example.com", "password": PASSWORD })).await;
    assert_eq!(user_name.status, 200, "older clients call it username");
}

/// A session costs two statements, of the session and of its user, however many parts of a request ask for it.
#[tokio::test]
async fn a_request_is_authenticated_once() {
    let server = TestServer::start().await;
    let cost = async |rest: &Rest, method: &str, path: &str, body: Option<Value>| {
        let before = server.metric("muster_sql_statements_total").await;
        let answer = rest.send(method, path, body.as_ref()).await;
        (answer.status, server.metric("muster_sql_statements_total").await - before)
    };
    let (known, stranger) = (&server.rest, &server.rest.with_token("made-up"));
    let no_hosts = || Some(json!({ "ids": [] }));
    assert_eq!(cost(known, "GET", "me", None).await, (200, 2.0));
    assert_eq!(cost(known, "POST", "hosts/delete", no_hosts()).await, (200, 2.0));
    assert_eq!(cost(known, "POST", "hosts/delete", Some(json!("no list"))).await, (400, 2.0));
    assert_eq!(cost(stranger, "POST", "hosts/delete", no_hosts()).await, (401, 1.0));
    assert_eq!(cost(&server.rest.anonymous(), "POST", "hosts/delete", no_hosts()).await, (401, 0.0));
}

#[tokio::test]
async fn unknown_users_and_wrong_passwords_are_answered_alike() {
    let server = TestServer::start().await;
    let wrong = log_in(&server.rest, "admin@example.com", "wrong-password-1!").await;
    let unknown = log_in(&server.rest, "nobody@example.com", PASSWORD).await;
    let empty = log_in(&server.rest, "", "").await;
    let odd = log_in(&server.rest, "' OR 1=1 --", PASSWORD).await;
    for answer in [&wrong, &unknown, &empty, &odd] {
        assert_eq!((answer.status, &answer.text), (401, &wrong.text));
    }
}

#[tokio::test]
async fn logins_have_a_limit_that_says_when_to_come_back() {
    let server = TestServer::with(|config| config.session.logins_per_minute = 3).await;
    for _ in 0..3 {
        assert_eq!(log_in(&server.rest, "admin@example.com", "wrong").await.status, 401);
    }
    let answer = log_in(&server.rest, "admin@example.com", PASSWORD).await;
    assert_eq!(answer.status, 429, "{}", answer.text);
    let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(server.rest.get("me").await.status, 200, "sessions go on");
}

/// An attacker at one address guesses passwords of an account without end.
#[tokio::test]
async fn a_flood_of_bad_logins_is_slowed_and_locks_nobody_out() {
    let server = TestServer::with(|config| config.session.logins_per_minute = 5).await;
    // The owner has logged in from the usual address with the set-up.
    let attacker = server.rest.at_address("127.0.0.66");
    let mut statuses = Vec::new();
    for round in 0..crate::support::count(4, 40) {
        let guesses = (0..25).map(|guess| {
            let password = format!("guess-{round}-{guess}!");
            let attacker = attacker.clone();
            async move { log_in(&attacker, "admin@example.com", &password).await.status }
        });
        statuses.extend(futures_util::future::join_all(guesses).await);
        let owner = log_in(&server.rest, "admin@example.com", PASSWORD).await;
        assert_eq!(owner.status, 200, "{}", owner.text);
        let body = json!({ "old_password": "wrong-1!", "new_password": "another-secret-2" });
        assert_eq!(server.rest.post("change_password", &body).await.status, 422, "it has a limit of its own");
        server.clock.advance(Duration::from_secs(60));
    }
    let (refused, tried): (Vec<u16>, Vec<u16>) = statuses.iter().partition(|status| **status == 429);
    assert!(tried.iter().all(|status| *status == 401), "{tried:?}");
    assert_eq!(refused.len(), statuses.len() / 5 * 4, "five in a minute are tried");
    let hits = server.metric(r#"muster_limit_hits_total{limit="logins_per_minute"}"#).await;
    assert_eq!(hits, refused.len() as f64);
}

/// The rate of an account that strangers have spent leaves one try for each further address.
#[tokio::test]
async fn the_owner_of_an_account_under_attack_gets_in_from_a_new_address() {
    let server = TestServer::with(|config| config.session.logins_per_minute = 5).await;
    for last in 1..=3 {
        let attacker = server.rest.at_address(&format!("127.0.0.{}", 100 + last));
        while log_in(&attacker, "admin@example.com", "guess-1!").await.status == 401 {}
    }
    let elsewhere = server.rest.at_address("127.0.0.200");
    for _ in 0..3 {
        let owner = log_in(&elsewhere, "admin@example.com", PASSWORD).await;
        assert_eq!(owner.status, 200, "{}", owner.text);
    }
    let stranger = server.rest.at_address("127.0.0.201");
    assert_eq!(log_in(&stranger, "admin@example.com", "guess-1!").await.status, 401);
    assert_eq!(log_in(&stranger, "admin@example.com", "guess-2!").await.status, 429);
    assert_eq!(log_in(&stranger, "nobody@example.com", "guess-3!").await.status, 401, "the address has some left");
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_used() {
    let server = TestServer::start().await;
    for _ in 0..4 {
        server.clock.advance(3 * DAY);
        assert_eq!(server.rest.get("me").await.status, 200);
    }
    server.clock.advance(5 * DAY + Duration::from_secs(61));
    assert_eq!(server.rest.get("me").await.status, 401);
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM sessions"), 0);
}

#[tokio::test]
async fn sessions_survive_a_restart() {
    let mut server = TestServer::start().await;
    server.restart().await;
    assert_eq!(server.rest.get("me").await.status, 200);
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case_and_no_other_is() {
    let server = TestServer::start().await;
    let token = server.rest.token().to_owned();
    let anonymous = server.rest.anonymous();
    for good in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
        assert_eq!(anonymous.get_authorized("me", &format!("{good}{token}")).await.status, 200, "{good:?}");
    }
    for bad in ["", "Basic ", "NodeKey ", "Bearer", "Bearer Bearer "] {
        assert_eq!(anonymous.get_authorized("me", &format!("{bad}{token}")).await.status, 401, "{bad:?}");
    }
}

#[tokio::test]
async fn tokens_and_passwords_are_not_stored_in_clear() {
    let server = TestServer::start().await;
    if !server.database().is_sqlite() {
        eprintln!("skipped: looks into SQLite's files");
        return;
    }
    let database = std::fs::read(&server.config().sqlite.path).unwrap();
    let wal = std::fs::read(server.config().sqlite.path.with_extension("db-wal")).unwrap_or_default();
    for secret in [server.rest.token(), PASSWORD] {
        for bytes in [&database, &wal] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }
}

/// The record of what operators did is bounded in time, and pruned some at a time.
#[tokio::test]
async fn activities_are_removed_after_their_retention() {
    let server = TestServer::with(|config| config.activities.retention = 30 * DAY).await;
    let add = |kind: &str, count: usize| {
        let row = format!("({}, NULL, '', '', '{kind}', '{{}}')", server.clock.now().0);
        server.database().execute(&format!(
            "INSERT INTO activities (created_at, actor_id, actor_name, actor_email, kind, details) VALUES {}",
            vec![row; count].join(", ")
        ));
    };
    add("old", crate::support::count(1_200, 20_000));
    server.clock.advance(20 * DAY);
    add("young", 3);
    server.run_tasks().await;
    assert!(server.number("SELECT count(*) FROM activities WHERE kind = 'old'") >= 1_200);
    server.clock.advance(11 * DAY);
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM activities"), 3);
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'young'"), 3);
}

/// What anybody may send is read into memory and hashed before it is known who it is.
#[tokio::test]
async fn bodies_of_strangers_are_small() {
    let server = TestServer::start().await;
    let stranger = server.rest.anonymous();
    for size in [17 << 10, 2 << 20] {
        let body = json!({ "email": "admin@example.com", "password": "x".repeat(size) });
        for path in ["login", "/api/v1/setup"] {
            let answer = stranger.post(path, &body).await;
            assert_eq!(answer.status, 413, "{path}: {}", answer.text);
        }
    }
    let long = log_in(&server.rest, "admin@example.com", &format!("{PASSWORD}{}", "x".repeat(200))).await;
    assert_eq!(long.status, 401, "{}", long.text);
    let config = json!({ "org_info": { "org_logo_url": "x".repeat(4_000) }, "server_settings": {} });
    let documents = vec![json!({ "kind": "config", "spec": config }); 8];
    assert_eq!(server.rest.try_apply(&documents[..1], true).await.status, 200);
    assert_eq!(server.rest.try_apply(&documents, true).await.status, 422, "larger bodies of users are read");
}

/// A colleague behind the same address gets the password wrong again and again.
#[tokio::test]
async fn two_users_behind_one_address_do_not_spend_each_others_logins() {
    let server = TestServer::with(|config| config.session.logins_per_minute = 5).await;
    // The administrator has logged in from here with the set-up.
    server.user("observer");
    while log_in(&server.rest, "observer-user@example.com", "wrong-1!").await.status == 401 {}
    for _ in 0..5 {
        assert_eq!(log_in(&server.rest, "admin@example.com", PASSWORD).await.status, 200);
    }
    assert_eq!(log_in(&server.rest, "observer-user@example.com", PASSWORD).await.status, 429);
    let elsewhere = server.rest.at_address("127.0.0.200");
    assert_eq!(log_in(&elsewhere, "observer-user@example.com", PASSWORD).await.status, 200);
}

/// All operators behind it have one address, which only its name in the settings can change.
#[tokio::test]
async fn a_load_balancer_that_is_not_named_is_warned_of_once() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    for _ in 0..2 {
        let login = rest.posting("login", &json!({ "email": "admin@example.com", "password": PASSWORD }));
        assert_eq!(login.header("X-Forwarded-For", "192.0.2.1").send().await.unwrap().status(), 200);
    }
    let warned = eventually("the log says so", Duration::from_secs(10), async || {
        Some(server.said()).filter(|said| said.contains("server.trusted_proxies"))
    })
    .await;
    assert_eq!(warned.matches("server.trusted_proxies").count(), 1, "{warned}");
}

#[tokio::test]
async fn a_failed_login_is_logged_with_account_and_address_and_never_with_what_was_typed() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    assert_eq!(log_in(&rest, "admin@example.com", "wrong-password-1!").await.status, 401);
    assert_eq!(log_in(&rest, "my-password-typed-here", "x").await.status, 401);
    let line = eventually("the log has it", Duration::from_secs(20), async || {
        server.said().lines().find(|line| line.contains("a login failed")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("account=\"admin@example.com\"") && line.contains("address=127.0.0.1"), "{line}");
    let said = server.said();
    assert_eq!(said.matches("a login failed").count(), 1, "one line for each address: {said}");
    assert!(!said.contains("typed-here") && !said.contains("wrong-password"), "{said}");
}
