//! Two operators at one time. What SQLite rules out, because it lets one transaction write at a time, is tested over MariaDB
//! alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Database, PASSWORD, Rest, TestServer, count, eventually};

/// How long a request may take to come to a row that is held.
const WITHIN: Duration = Duration::from_secs(20);

/// A row that is held in an open transaction. On SQLite changes take turns from their first statement on.
struct HeldRow<'a> {
    database: &'a Database,
    table: &'static str,
}

impl<'a> HeldRow<'a> {
    /// Holds the row of `table` that a statement changes.
    fn of(table: &'static str, database: &'a Database, statement: &str) -> Self {
        database.execute("BEGIN");
        database.execute(statement);
        Self { database, table }
    }

    /// Waits until this many transactions wait for the row: statements on its table that run for long, while as many
    /// transactions of all databases wait. (The list of transactions is not renewed while several tests read it.)
    async fn is_waited_for(&self, by: i64) {
        let waiting = format!(
            "SELECT least(count(*), (SELECT CAST(variable_value AS SIGNED) FROM information_schema.global_status \
             WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS')) FROM information_schema.processlist \
             WHERE db = DATABASE() AND id <> CONNECTION_ID() AND command = 'Execute' AND time_ms > 300 \
             AND info LIKE '%`{}`%'",
            self.table
        );
        let is_waited_for = async || (self.database.number(&waiting) >= by).then_some(());
        eventually("transactions wait for the row", WITHIN, is_waited_for).await;
    }

    fn commit(self) {
        self.database.execute("COMMIT");
    }
}

fn skipped(server: &TestServer) -> bool {
    if server.database().is_sqlite() {
        eprintln!("skipped: SQLite lets one transaction write at a time, from its first statement on");
        return true;
    }
    false
}

/// Sends a request while the row is held, and lets go once the request has come to it.
async fn meanwhile(held: HeldRow<'_>, request: impl Future<Output = Answer>) -> Answer {
    let (answer, ()) = tokio::join!(request, async {
        held.is_waited_for(1).await;
        held.commit();
    });
    answer
}

/// An edit writes what it changes, and not what it has read.
#[tokio::test]
async fn an_edit_of_a_name_does_not_give_back_a_role_that_was_taken() {
    let server = TestServer::start().await;
    if skipped(&server) {
        return;
    }
    let second = server.user("admin");
    let id = second.get("me").await.json()["user"]["id"].as_i64().unwrap();
    let database = server.database();
    let held = HeldRow::of("users", &database, &format!("UPDATE users SET global_role = 'observer' WHERE id = {id}"));
    let (path, body) = (format!("users/{id}"), json!({ "name": "Renamed" }));
    let answer = meanwhile(held, second.send("PATCH", &path, Some(&body))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let user: Value = server.rest.get(&path).await.json();
    assert_eq!((&user["user"]["name"], &user["user"]["global_role"]), (&json!("Renamed"), &json!("observer")));
    assert_eq!(answer.json()["user"]["global_role"], "observer", "the answer shows what is stored");
}

#[tokio::test]
async fn set_ups_at_two_nodes_make_one_administrator() {
    let one = TestServer::empty(|_| {}).await;
    if skipped(&one) {
        return;
    }
    let other = TestServer::beside(&one).await;
    let database = one.database();
    database.execute("INSERT IGNORE INTO generations (name, value) VALUES ('schedule', 1)");
    let held =
        HeldRow::of("generations", &database, "UPDATE generations SET value = value + 1 WHERE name = 'schedule'");
    let set_up = async |server: &TestServer, email: &str| {
        let mut body = Rest::set_up_body();
        body["admin"]["email"] = json!(email);
        server.rest.anonymous().post("/api/v1/setup", &body).await.status
    };
    let (first, second, ()) =
        tokio::join!(set_up(&one, "one@example.com"), set_up(&other, "other@example.com"), async {
            held.is_waited_for(2).await;
            held.commit();
        });
    let mut statuses = [first, second];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404]);
    assert_eq!(one.number("SELECT count(*) FROM users"), 1);
}

/// Whoever took an account over is out once an administrator has set another password, whatever is under way.
#[tokio::test]
async fn an_old_password_that_was_replaced_meanwhile_opens_and_changes_nothing() {
    let server = TestServer::start().await;
    if skipped(&server) {
        return;
    }
    let user = server.user("observer");
    let id = user.get("me").await.json()["user"]["id"].as_i64().unwrap();
    let database = server.database();
    let replace = || {
        let held =
            HeldRow::of("users", &database, &format!("UPDATE users SET updated_at = updated_at + 1 WHERE id = {id}"));
        database.execute(&format!(
            "UPDATE user_passwords SET hash = CONCAT('$argon2id$v=19$m=19456,t=2,p=1$bm8tc3VjaC11c2VyLXNhbHQ$', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA') WHERE user_id = {id}"
        ));
        held
    };
    let original = database.text(&format!("SELECT hash FROM user_passwords WHERE user_id = {id}"));
    let login = json!({ "email": "observer-user@example.com", "password": PASSWORD });
    let answer = meanwhile(replace(), server.rest.anonymous().post("login", &login)).await;
    assert_eq!(answer.status, 401, "{}", answer.text);

    database.execute(&format!("UPDATE user_passwords SET hash = '{original}' WHERE user_id = {id}"));
    let change = json!({ "old_password": PASSWORD, "new_password": "another-secret-2" });
    let answer = meanwhile(replace(), user.post("change_password", &change)).await;
    assert_eq!(answer.problems(), ["old_password: old password does not match"]);
}

/// Each of two administrators takes the role of the other: whoever comes second is refused.
#[tokio::test]
async fn two_administrators_cannot_demote_each_other() {
    let server = TestServer::start().await;
    let second = server.user("admin");
    let id = async |rest: &Rest| rest.get("me").await.json()["user"]["id"].as_i64().unwrap();
    let (first_path, second_path) =
        (format!("users/{}", id(&server.rest).await), format!("users/{}", id(&second).await));
    let admins = || server.number("SELECT count(*) FROM users WHERE global_role = 'admin'");
    let (demote, promote) = (json!({ "global_role": "observer" }), json!({ "global_role": "admin" }));
    for round in 0..count(5, 50) {
        let (one, other) = tokio::join!(
            server.rest.send("PATCH", &second_path, Some(&demote)),
            second.send("PATCH", &first_path, Some(&demote)),
        );
        let statuses = [one.status, other.status];
        assert!(statuses.contains(&200), "round {round}: {} {}", one.text, other.text);
        assert!(statuses.iter().all(|status| [200, 403, 422].contains(status)), "round {round}: {statuses:?}");
        assert_eq!(admins(), 1, "round {round}: {statuses:?}");
        // Whoever is left makes the other one again.
        for (rest, path) in [(&server.rest, &second_path), (&second, &first_path)] {
            let _ = rest.send("PATCH", path, Some(&promote)).await;
        }
        assert_eq!(admins(), 2, "round {round}");
    }
}

/// A document and a REST request take the roles of the two administrators at one time.
#[tokio::test]
async fn an_apply_and_an_edit_leave_an_administrator() {
    let server = TestServer::start().await;
    let second = server.user("admin");
    let id = server.rest.get("me").await.json()["user"]["id"].as_i64().unwrap();
    let (path, demote) = (format!("users/{id}"), json!({ "global_role": "observer" }));
    let roles = |role: &str| {
        json!({ "kind": "user_roles", "spec": { "roles": {
            "admin-user@example.com": { "global_role": role },
        } } })
    };
    let (document, again) = (roles("maintainer"), json!({ "global_role": "admin" }));
    let admins = || server.number("SELECT count(*) FROM users WHERE global_role = 'admin'");
    for round in 0..count(5, 50) {
        let (applied, edited) = tokio::join!(
            server.rest.try_apply(std::slice::from_ref(&document), false),
            second.send("PATCH", &path, Some(&demote)),
        );
        let statuses = [applied.status, edited.status];
        assert!(statuses.contains(&200), "round {round}: {} {}", applied.text, edited.text);
        assert_eq!(admins(), 1, "round {round}: {statuses:?}");
        let _ = second.send("PATCH", &path, Some(&again)).await;
        let _ = server.rest.try_apply(&[roles("admin")], false).await;
        assert_eq!(admins(), 2, "round {round}");
    }
}
