//! What a real osqueryd has sent, through the API of agents into that of operators.

use super::*;

const SCHEDULE: &str = include_str!("../../../../../agent-compat/golden/23-distributed-write-osquery_schedule.body");
const DENYLISTED: &str =
    include_str!("../../../../../agent-compat/golden/26-distributed-write-schedule-denylisted.body");
const WATCHDOG: &str = include_str!("../../../../../agent-compat/golden/51-watchdog-denylist.tsv");
const SLOW: &str = include_str!("../../../../../agent-compat/golden/69-slow-scheduled-query.tsv");

/// A recorded answer about the schedule as an answer to the question that is asked here.
fn asked_here(body: &str) -> String {
    body.replace("\"sched\"", "\"fleet_detail_query_scheduled_query_stats\"")
}

/// Answers about the schedule in a recording, in order.
fn answers_in(recording: &str) -> Vec<String> {
    let bodies = recording.lines().filter_map(|line| line.split('\t').nth(3));
    bodies.filter(|body| body.starts_with("{\"queries\":{\"sched\"")).map(asked_here).collect()
}

/// The top-level schedule that a recorded answer shows. The server refuses colons in names.
fn schedule_of(body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap();
    let rows = body["queries"]["sched"].as_array().unwrap().iter();
    let is_top = |row: &&Value| {
        let name = row["name"].as_str().unwrap();
        !name.starts_with("pack_") && !name.contains(':')
    };
    let entry = |row: &Value| {
        let interval: u32 = row["interval"].as_str().unwrap().parse().unwrap();
        (row["name"].as_str().unwrap().to_owned(), json!({ "query": row["query"], "interval": interval }))
    };
    rows.filter(is_top).map(entry).collect()
}

fn find<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().unwrap().iter();
    all.find(|query| query["name"] == name || query["scheduled_query_name"] == name).unwrap_or(&Value::Null)
}

#[actix_web::test]
async fn a_schedule_is_shown_with_its_host() {
    let mut world = World::new().await;
    let key = world.enroll("one", "debian").await;
    let packs = [("disc_true", "pq", "select 1 as in_disc_true"), ("snap", "ps", "select 1 as in_pack_snap")];
    serve(&world, schedule_of(SCHEDULE), &packs).await;
    say(&world, &key, &asked_here(SCHEDULE)).await;
    let id = world.host_of(&key).await.unwrap();
    let host = world.get(&format!("hosts/{id}")).await.expect(200);
    let packs = host["host"]["pack_stats"].as_array().unwrap();
    assert_eq!(packs.iter().map(|pack| &pack["pack_name"]).collect::<Vec<_>>(), ["disc_true", "snap"]);
    let shown = find(&packs[0]["query_stats"], "pq");
    assert_eq!((&shown["executions"], &shown["output_size"], &shown["interval"]), (&json!(9), &json!(180), &json!(5)));
    assert_eq!((&shown["impact"], &shown["denylisted"]), (&json!("Minimal"), &json!(false)));
    assert_eq!((&packs[0]["type"], &shown["last_executed"]), (&json!("pack"), &json!("2026-11-20T15:54:20Z")));
    let statistics = world.get(&format!("hosts/{id}/statistics")).await.expect(200);
    let diff = find(&statistics["queries"], "files_added_only");
    assert_eq!((&diff["executions"], &diff["pack"]), (&json!(9), &json!("")));
    assert!((diff["cpu_time"].as_f64().unwrap() - 10.0 / 9.0).abs() < 1e-9);
    assert_eq!(statistics["queries"].as_array().unwrap().len(), 24, "all but the one with a colon in its name");
    let observer = world.log_in_as("observer").await;
    let admin = std::mem::replace(&mut world.token, observer);
    let seen = world.get(&format!("hosts/{id}")).await.expect(200);
    assert_eq!(seen["host"]["pack_stats"], json!([]), "who may not read packs");
    for path in [format!("hosts/{id}/statistics"), "statistics/queries".to_owned(), "statistics/denylist".to_owned()] {
        assert_eq!(world.get(&path).await.status, 403, "{path}");
    }
    world.token = admin;
    // One sample is only where counting begins.
    let of_fleet = world.get("statistics/queries").await.expect(200);
    assert_eq!(of_fleet["queries"], json!([]));
}

#[actix_web::test]
async fn a_query_that_the_agent_has_denylisted_is_found_and_lifted() {
    let world = World::with(|config| config.statistics.interval = Duration::from_secs(60)).await;
    let key = world.enroll("one", "debian").await;
    let packs = [("p", "fine", "select 1 as fine")];
    let mut schedule = schedule_of(DENYLISTED);
    serve(&world, schedule.clone(), &packs).await;
    let answers = answers_in(WATCHDOG);
    assert_eq!(answers[0], asked_here(DENYLISTED), "the first of three");
    say(&world, &key, &answers[0]).await;
    let listed = world.get("statistics/denylist").await.expect(200)["denylist"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&listed[0]["pack"], &listed[0]["name"], &listed[0]["hostname"]),
        (&json!(""), &json!("burner"), &json!("one"))
    );
    assert_eq!((&listed[0]["since"], &listed[0]["until"]), (&json!("2020-09-13T12:26:40Z"), &Value::Null));
    let of_fleet = world.get("statistics/queries").await.expect(200)["queries"].clone();
    assert_eq!(find(&of_fleet, "burner")["denylisted_hosts"], 1);
    let id = world.host_of(&key).await.unwrap();
    let of_host = world.get(&format!("hosts/{id}/statistics")).await.expect(200);
    assert_eq!(find(&of_host["queries"], "burner")["impact"], "Denylisted");
    // Other SQL does not lift it.
    schedule["burner"]["query"] = json!("select 1 as now_cheap");
    serve(&world, schedule, &packs).await;
    world.app.fleet.clock.advance(Duration::from_secs(75));
    say(&world, &key, &answers[1]).await;
    assert_eq!(world.get("statistics/denylist?name=burner").await.expect(200)["denylist"], listed);
    world.app.fleet.clock.advance(Duration::from_secs(50));
    say(&world, &key, &answers[2]).await;
    assert_eq!(world.get("statistics/denylist").await.expect(200)["denylist"], json!([]));
    let lifted = world.get(&format!("statistics/denylist?lifted=true&host_id={id}")).await.expect(200);
    assert_eq!(lifted["denylist"][0]["until"], "2020-09-13T12:28:45Z");
    // From the first sample to the last.
    let good = report(&world, "good").await;
    assert_eq!((&good["total"]["executions"], &good["total"]["cpu_seconds"]), (&json!(24), &json!(0.03)));
    let pack_id = world.get("packs").await.expect(200)["packs"][0]["id"].clone();
    let scheduled = world.get(&format!("packs/{pack_id}/scheduled")).await.expect(200);
    let stats = &scheduled["scheduled"][0]["stats"];
    assert_eq!(
        (&stats["total_executions"], &stats["impact"], &stats["hosts"]),
        (&json!(24), &json!("Minimal"), &json!(1))
    );
    let queries = world.get("queries").await.expect(200);
    assert_eq!(find(&queries["queries"], "p fine")["stats"], *stats);
}

#[actix_web::test]
async fn an_answer_that_has_waited_for_a_slow_query_counts() {
    let world = World::new().await;
    let key = world.enroll("one", "debian").await;
    serve(&world, schedule(["good".to_owned(), "slow".to_owned()]), &[]).await;
    for answer in answers_in(SLOW) {
        say(&world, &key, &answer).await;
    }
    let id = world.host_of(&key).await.unwrap();
    let statistics = world.get(&format!("hosts/{id}/statistics")).await.expect(200);
    let executions = |name| find(&statistics["queries"], name)["executions"].clone();
    assert_eq!((executions("good"), executions("slow")), (json!(10), json!(2)));
    let labels = world.get("labels").await.expect(200);
    let all_hosts = &find(&labels["labels"], "All Hosts")["id"];
    let on_label = world.get(&format!("statistics/query?name=good&label_id={all_hosts}")).await.expect(200);
    let label = &on_label["label"];
    assert_eq!(
        (&label["label_hosts"], &label["sampled_hosts"], &label["executions"]),
        (&json!(1), &json!(1), &json!(10))
    );
    assert_eq!(world.get("statistics/query?name=good&label_id=99999").await.status, 404);
}
