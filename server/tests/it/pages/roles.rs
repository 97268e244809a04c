use serde_json::json;

use super::{PAGES, lively};
use crate::support::{ENROLL_SECRET, Visitor};

const ROLES: [&str; 3] = ["observer", "maintainer", "admin"];

fn rank(role: &str) -> usize {
    ROLES.iter().position(|known| *known == role).unwrap()
}

#[tokio::test]
async fn each_role_sees_the_pages_that_it_may_and_no_secret() {
    let server = lively::server().await;
    lively::fleet(&server, 3, 2).await;
    server.rest.post("live_queries", &json!({ "query": "SELECT 'of the admin'", "targets": { "all": true } })).await;
    for role in ROLES {
        let visitor = Visitor::of(&server.address, &server.user(role));
        for (path, least) in PAGES {
            let answer = visitor.get(path).await;
            let expected: &[u16] = if rank(role) >= rank(least) { &[200] } else { &[403, 404] };
            assert!(expected.contains(&answer.status), "{role} {path}: {} {}", answer.status, answer.text);
            for secret in [ENROLL_SECRET, "$argon2"] {
                assert!(!answer.text.contains(secret), "{role} {path} tells a secret");
            }
        }
        // What a page of one's own does not tell.
        let overview = visitor.get("/").await.text;
        let sees_costs = rank(role) >= rank("maintainer");
        assert_eq!(overview.contains("Most expensive queries"), sees_costs, "{role}");
        assert_eq!(overview.contains("of the admin"), sees_costs, "{role}: the live queries of others");
        assert_eq!(overview.contains("href=\"./users\""), role == "admin", "{role}");
        let host = visitor.get("/hosts/1").await.text;
        assert_eq!(host.contains("What its queries cost"), sees_costs, "{role}");
        assert_eq!(host.contains("/refetch"), sees_costs, "{role}");
    }
}

#[tokio::test]
async fn each_role_may_send_the_forms_that_it_may() {
    let server = lively::server().await;
    lively::fleet(&server, 2, 1).await;
    for role in ROLES {
        let visitor = Visitor::of(&server.address, &server.user(role));
        let user =
            [("email", "new@example.com"), ("name", "New"), ("password", "only-for-tests-1!"), ("role", "Observer")];
        for (path, fields, least) in [
            ("/hosts/1/refetch", &[][..], "maintainer"),
            ("/hosts/selected/refetch", &[("host", "1")][..], "maintainer"),
            ("/hosts/selected/live", &[("host", "1")][..], "observer"),
            ("/hosts/columns", &[("column", "uuid")][..], "observer"),
            ("/live", &[("sql", "SELECT 1"), ("all", "true")][..], "maintainer"),
            ("/live", &[("saved", "system info"), ("all", "true")][..], "observer"),
            ("/live", &[("saved", "uptime"), ("all", "true")][..], "maintainer"),
            ("/users", &user[..], "admin"),
            ("/users/1/delete", &[][..], "admin"),
        ] {
            let answer = visitor.submit("/", path, fields).await;
            let expected = if rank(role) >= rank(least) { 303 } else { 403 };
            assert_eq!(answer.status, expected, "{role} {path} {fields:?}: {}", answer.text);
        }
    }
    assert_eq!(server.number("SELECT count(*) FROM users WHERE email = 'new@example.com'"), 1);
    // A user whose role only a newer version knows sees nothing.
    let visitor = Visitor::of(&server.address, &server.user("superuser"));
    for (path, _) in PAGES {
        let answer = visitor.get(path).await;
        assert!([403, 404].contains(&answer.status), "{path}: {}", answer.status);
    }
}
