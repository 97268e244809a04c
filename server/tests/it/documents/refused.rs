//! What operators cannot change while documents come from a folder.

use serde_json::{Value, json};

use super::{Folder, looked, problem};
use crate::pages::admin;
use crate::rest::DOCUMENTS;
use crate::rest::operations::{self, Least, Operation, furnished};
use crate::support::{TestServer, Visitor};

/// Operations that change no document, as far as they are no GET.
const OTHERS: [&str; 30] = [
    "/spec/plan",
    "/translate",
    "/login",
    "/logout",
    "/change_password",
    "/users/admin",
    "/users/{id}",
    "/users/roles/spec",
    "/hosts/search",
    "/hosts/delete",
    "/hosts/{id}",
    "/hosts/{id}/refetch",
    "/targets",
    "/targets/count",
    "/live_queries",
    "/live_queries/{id}/rate",
    "/live_queries/{id}/pause",
    "/live_queries/{id}/resume",
    "/live_queries/{id}/promote",
    "/rollouts/{name}/pause",
    "/rollouts/{name}/resume",
    "/rollouts/{name}/promote",
    "/rollouts/{name}/abort",
    "/live_queries/{id}/cancel",
    "/queries/run",
    "/queries/run_by_names",
    "/carves/{id}",
    "/approvals/{key}/grant",
    "/approvals/{key}/deny",
    "/results/info",
];

/// What hosts run, and the secrets.
const TABLES: [&str; 6] = ["queries", "packs", "labels", "pack_labels", "scheduled_queries", "enroll_secrets"];

fn is_of_documents(operation: &Operation) -> bool {
    let kind = operation.body.as_ref().map(|body| body["documents"][0]["kind"].clone());
    let is_of_users = operation.route == "/spec/apply" && kind == Some(json!("user_roles"));
    operation.method != "GET" && !OTHERS.contains(&operation.route) && !is_of_users
}

#[tokio::test]
async fn every_change_of_documents_is_refused_and_recorded_and_nothing_else() {
    let mut first = furnished().await;
    first.stop().await;
    let folder = Folder::new();
    for file in ["queries/uptime.yml", "labels/docker.yml", "packs/base.yml"] {
        folder.remove(file);
    }
    folder.put("all.yml", DOCUMENTS);
    let server = TestServer::beside_with(&first, |config| config.documents.folder = Some(folder.path())).await;
    looked(&server).await;
    assert_eq!(problem(&server).await, "");
    let counts = || TABLES.map(|table| server.number(&format!("SELECT count(*) FROM {table}")));
    let before = counts();
    let reason = format!("documents come from the folder {} of the server alone", folder.path().display());
    let roles = [(Least::Observer, "observer"), (Least::Maintainer, "maintainer"), (Least::Admin, "admin")];
    for (rank, role) in roles {
        let user = server.user(role);
        let (mut refused, mut done) = (0, 0);
        for operation in operations::all(&server).await {
            // What an administrator deletes is done once.
            let answer = user.send(operation.method, operation.path, operation.body.as_ref()).await;
            if operation.least > rank {
                assert_eq!(answer.status, 403, "{role}: {operation:?}: {}", answer.text);
            } else if is_of_documents(&operation) {
                assert_eq!(answer.status, 403, "{role}: {operation:?}: {}", answer.text);
                assert!(answer.problems()[0].contains(&reason), "{role}: {operation:?}: {}", answer.text);
                refused += 1;
            } else {
                assert_ne!(answer.status, 403, "{role}: {operation:?}: {}", answer.text);
                done += i32::from(answer.status == 200);
            }
        }
        assert!(refused >= if rank == Least::Observer { 0 } else { 20 }, "{role}: {refused}");
        assert!(done >= 15, "{role}: {done}");
        server.run_tasks().await;
        let kept =
            "SELECT count(*) FROM activities WHERE kind = 'refused_change' AND details LIKE '%documents.folder%'";
        let kept = server.number(&format!("{kept} AND actor_email = '{role}-user@example.com'"));
        assert!(kept >= i64::from(rank > Least::Observer), "{role}: {kept}");
    }
    assert_eq!(counts(), before);
    looked(&server).await;
    assert_eq!(problem(&server).await, "");
}

#[tokio::test]
async fn secrets_that_no_file_names_are_changed_by_operators() {
    let folder = Folder::new();
    let server = folder.server().await;
    let secrets = |secret: &str| json!({ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": secret }] } });
    assert_eq!(server.rest.try_apply(&[secrets("another")], false).await.status, 200);
    looked(&server).await;
    assert_eq!(server.number("SELECT count(*) FROM enroll_secrets WHERE secret = 'another'"), 1);
    folder.put("secrets.yml", "kind: enroll_secret\nspec: {secrets: [{secret: of-the-folder}]}\n");
    looked(&server).await;
    assert_eq!(server.number("SELECT count(*) FROM enroll_secrets WHERE secret = 'of-the-folder'"), 1);
    let refused = server.rest.try_apply(&[secrets("another")], false).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let query: Value = json!({ "kind": "query", "spec": { "name": "a", "query": "SELECT 1" } });
    assert_eq!(server.rest.try_apply(std::slice::from_ref(&query), false).await.status, 403);
    assert_eq!(server.rest.try_apply(&[query], true).await.status, 200, "what would change can be asked");
}

#[tokio::test]
async fn pages_say_where_documents_come_from_and_offer_no_change() {
    let folder = Folder::new();
    folder.commit('7');
    let server = folder.server().await;
    let observer = Visitor::of(&server.address, &server.user("observer"));
    for visitor in [admin(&server), observer] {
        let page = visitor.get("/queries/saved").await.text;
        let folder = folder.path().display().to_string();
        assert!(page.contains(&folder) && page.contains("777777777777"), "{page}");
        assert!(!page.contains("queries/new"), "{page}");
    }
    let options = admin(&server).get("/settings").await.text;
    assert!(!options.contains("<textarea"), "{options}");
}
