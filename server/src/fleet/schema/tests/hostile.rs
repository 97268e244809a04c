//! Hosts that lie, and what only some hosts have.

use super::*;

const STOCK: &[(&str, &[&str])] = &[("processes", &["pid", "name"]), ("users", &["uid"])];

/// A fleet of five hosts that were asked.
async fn five() -> (World, Vec<Arc<Host>>) {
    let world = World::new().await;
    let mut hosts = Vec::new();
    for number in 0..5 {
        hosts.push(host(&world, &format!("host-{number}"), "ubuntu", "5.23.1").await);
    }
    pick(&world).await;
    assert_eq!(asked(&world, &hosts).await.len(), 5);
    (world, hosts)
}

#[actix_web::test]
async fn one_host_decides_nothing_and_what_some_have_is_marked() {
    let (world, hosts) = five().await;
    let with_atc: &[(&str, &[&str])] =
        &[("atc_history", &["url"]), ("processes", &["pid", "name"]), ("users", &["uid"])];
    let lie: &[(&str, &[&str])] = &[("made_up", &["a"]), ("processes", &["pid", "name", "evil"]), ("users", &["uid"])];
    for host in &hosts[..3] {
        say(&world, host, &rows("5.23.1", with_atc)).await;
    }
    say(&world, &hosts[3], &rows("5.23.1", STOCK)).await;
    say(&world, &hosts[4], &rows("5.23.1", lie)).await;
    world.app.fleet.schemas.follow().await.unwrap();
    let seen = schema(&world, "").await;
    assert_eq!(names(&seen), ["atc_history", "processes", "users"]);
    let tables = &seen["tables"];
    let some = |table: &Value| (table["on_some_hosts"] == true, table["reports"].clone(), table["reports_of"].clone());
    assert_eq!(some(&tables[0]), (true, json!(3), json!(5)));
    assert_eq!(some(&tables[1]), (false, json!(5), json!(5)));
    assert_eq!(tables[1]["columns"].as_array().unwrap().len(), 2, "{}", tables[1]);
    assert_eq!(seen["groups"][0]["reports"], 5);
    let all = schema(&world, "unagreed=true").await;
    assert_eq!(names(&all), ["atc_history", "made_up", "processes", "users"]);
    assert_eq!((&all["tables"][1]["agreed"], &all["tables"][2]["agreed"]), (&json!(false), &json!(true)));
    assert_eq!(all["tables"][2]["columns"][2]["on_some_hosts"], true);
}

#[actix_web::test]
async fn what_is_said_unasked_or_again_is_dropped() {
    let (world, hosts) = five().await;
    let stranger = host(&world, "stranger", "ubuntu", "5.23.1").await;
    for host in &hosts {
        say(&world, host, &rows("5.23.1", STOCK)).await;
    }
    world.app.fleet.schemas.follow().await.unwrap();
    let before = schema(&world, "unagreed=true").await;
    let lie: &[(&str, &[&str])] = &[("made_up", &["a"])];
    for host in hosts.iter().chain([&stranger]) {
        say(&world, host, &rows("5.23.1", lie)).await;
    }
    world.app.fleet.schemas.follow().await.unwrap();
    assert_eq!(schema(&world, "unagreed=true").await, before);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM table_sets").await, 1);
}

#[actix_web::test]
async fn a_host_that_is_of_another_version_by_now_or_says_too_much_has_said_nothing() {
    let (world, hosts) = five().await;
    let much: Vec<Value> = (0..2_000)
        .map(|number| json!({ "table": format!("t{number}"), "column": "c", "type": "TEXT", "hidden": "0" }))
        .chain(rows("5.23.1", &[]))
        .collect();
    say(&world, &hosts[0], &rows("5.22.0", STOCK)).await;
    say(&world, &hosts[1], &much).await;
    say(&world, &hosts[2], &[]).await;
    let refused = json!({ "node_key": "k", "queries": { QUESTION: "" }, "statuses": { QUESTION: 1 } }).to_string();
    let write = DistributedWrite::read(refused.as_bytes()).unwrap();
    world.app.fleet.checkin.write(&hosts[3], &write, Instant::now() + DAY).await.unwrap();
    world.app.fleet.schemas.follow().await.unwrap();
    assert_eq!(number(&world, "SELECT COUNT(*) FROM table_sets").await, 0);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM parked_queries").await, 0);
}

#[actix_web::test]
async fn many_that_speak_unasked_are_few_in_memory_and_keep_no_other_from_being_heard() {
    let (world, hosts) = five().await;
    let mut crowd = Vec::new();
    for number in 0..100 {
        crowd.push(Arc::new(Host::unasked(10_000 + number, "ubuntu")));
    }
    let schemas = &world.app.fleet.schemas;
    for stranger in &crowd {
        say(&world, stranger, &rows("5.23.1", STOCK)).await;
    }
    assert!(!schemas.may_take(crowd[0].id) && schemas.may_take(hosts[0].id));
    for host in &hosts {
        say(&world, host, &rows("5.23.1", STOCK)).await;
    }
    schemas.follow().await.unwrap();
    assert_eq!(names(&schema(&world, "").await), ["processes", "users"]);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM schema_reports").await, 5);
}

#[actix_web::test]
async fn a_filter_leaves_the_hosts_it_names() {
    let world = World::new().await;
    let mut hosts = Vec::new();
    let windows: &[(&str, &[&str])] = &[("processes", &["pid", "name", "handles"]), ("programs", &["name"])];
    for number in 0..3 {
        hosts.push((host(&world, &format!("ubuntu-{number}"), "ubuntu", "5.23.1").await, STOCK));
        hosts.push((host(&world, &format!("windows-{number}"), "windows", "5.23.1").await, windows));
    }
    let silent = host(&world, "silent", "darwin", "5.23.1").await;
    let label = json!({ "kind": "label", "spec": { "name": "some", "label_membership_type": "manual", "hosts": ["windows-0"] } });
    world.apply(json!([label])).await;
    pick(&world).await;
    let all: Vec<_> = hosts.iter().map(|(host, _)| Arc::clone(host)).collect();
    assert_eq!(asked(&world, &all).await.len(), 6);
    for (host, tables) in &hosts {
        say(&world, host, &rows("5.23.1", tables)).await;
    }
    world.app.fleet.schemas.follow().await.unwrap();
    world.app.fleet.follow().await.unwrap();
    let everything = schema(&world, "").await;
    assert_eq!((names(&everything), &everything["count"]), (vec!["processes", "programs", "users"], &json!(3)));
    let platforms: Vec<&Value> =
        everything["groups"].as_array().unwrap().iter().map(|group| &group["platform"]).collect();
    assert_eq!(platforms, ["ubuntu", "windows", "darwin"]);
    let [processes, programs, _] = [0, 1, 2].map(|at| &everything["tables"][at]);
    assert_eq!((&processes["groups"], &processes["lacking_groups"]), (&json!([0, 1]), &json!([])));
    assert_eq!((&programs["groups"], &programs["lacking_groups"]), (&json!([1]), &json!([0])), "darwin is not known");
    assert_eq!(processes["columns"][2], json!({ "name": "handles", "type": "TEXT", "lacking_groups": [0] }));
    assert_eq!(names(&schema(&world, "platform=linux").await), ["processes", "users"]);
    assert_eq!(names(&schema(&world, "platform=linux,windows&query=PRO").await), ["processes", "programs"]);
    assert_eq!(names(&schema(&world, "table=USERS&names_only=true").await), ["users"]);
    let label_id = number(&world, "SELECT id FROM labels WHERE name = 'some'").await;
    assert_eq!(names(&schema(&world, &format!("label_id={label_id}")).await), ["processes", "programs"]);
    let of_host = schema(&world, &format!("host_id={}", hosts[0].0.id)).await;
    assert_eq!((names(&of_host), &of_host["groups"][0]["hosts"]), (vec!["processes", "users"], &json!(1)));
    assert_eq!(names(&schema(&world, &format!("host_id={}", silent.id)).await), [""; 0]);
    let page = schema(&world, "page=1&per_page=2").await;
    assert_eq!((names(&page), &page["count"]), (vec!["users"], &json!(3)));
    for (parameters, status) in [
        ("label_id=999", 404),
        ("host_id=999", 404),
        ("host_id=a", 400),
        ("per_page=1001", 400),
        ("platfrom=linux", 400),
    ] {
        assert_eq!(world.get(&format!("schema?{parameters}")).await.status, status, "{parameters}");
    }
}
