//! Who is asked, how often, and what that costs.

use super::*;

const STOCK: &[(&str, &[&str])] = &[("processes", &["pid", "name"]), ("users", &["uid"])];

#[actix_web::test]
async fn a_few_hosts_of_a_group_are_asked_once_a_week() {
    let world = World::new().await;
    let mut hosts = Vec::new();
    for number in 0..40 {
        hosts.push(host(&world, &format!("host-{number}"), "ubuntu", "5.23.1").await);
    }
    let few = host(&world, "lone", "windows", "5.23.1").await;
    hosts.push(Arc::clone(&few));
    pick(&world).await;
    let picked = asked(&world, &hosts).await;
    assert_eq!(picked.len(), 6);
    assert!(picked.iter().any(|host| host.id == few.id));
    assert!(asked(&world, &hosts).await.is_empty(), "once");
    for host in &picked {
        say(&world, host, &rows("5.23.1", STOCK)).await;
    }
    for _ in 0..3 {
        world.app.fleet.schemas.follow().await.unwrap();
        pick(&world).await;
        assert!(asked(&world, &hosts).await.is_empty(), "enough have reported");
    }
    assert_eq!(number(&world, "SELECT COUNT(*) FROM table_sets").await, 1, "hosts with the same tables share a row");
    assert_eq!(names(&schema(&world, "").await), ["processes", "users"]);
    // Others are asked a week later.
    world.app.fleet.clock.advance(DAY * 8);
    for host in &hosts {
        is_up_to_date(&world, host).await;
    }
    pick(&world).await;
    assert_eq!(asked(&world, &hosts).await.len(), 6);
}

#[actix_web::test]
async fn hosts_that_are_not_picked_cost_nothing() {
    let world = World::new().await;
    let mut hosts = Vec::new();
    for number in 0..30 {
        hosts.push(host(&world, &format!("host-{number}"), "ubuntu", "5.23.1").await);
    }
    pick(&world).await;
    let picked = asked(&world, &hosts).await;
    let others: Vec<_> = hosts.iter().filter(|host| picked.iter().all(|other| other.id != host.id)).cloned().collect();
    let statements = &world.app.metrics.sql_statements;
    let before = statements.get();
    assert!(asked(&world, &others).await.is_empty());
    assert_eq!(statements.get() - before, 0);
    // What the picked ones cost, beside the two statements by which any host is asked anything.
    world.app.fleet.clock.advance(DAY * 8);
    for host in &hosts {
        is_up_to_date(&world, host).await;
    }
    pick(&world).await;
    let before = statements.get();
    assert_eq!(asked(&world, &hosts).await.len(), 5);
    assert!(statements.get() - before <= 6, "{}", statements.get() - before);
}

#[actix_web::test]
async fn hosts_that_do_not_answer_are_replaced_and_not_for_ever() {
    let world = World::new().await;
    let mut hosts = Vec::new();
    for number in 0..40 {
        hosts.push(host(&world, &format!("host-{number}"), "ubuntu", "5.23.1").await);
    }
    let mut total = 0;
    for _ in 0..8 {
        pick(&world).await;
        total += asked(&world, &hosts).await.len();
        world.app.fleet.clock.advance(Duration::from_secs(1200));
        for host in &hosts {
            is_up_to_date(&world, host).await;
            execute(&world, "UPDATE hosts SET open_round = NULL").await;
        }
    }
    assert_eq!(total, 15);
}

#[actix_web::test]
async fn a_new_version_is_asked_for_and_the_old_one_is_forgotten() {
    let world = World::new().await;
    let mut hosts = Vec::new();
    for number in 0..4 {
        hosts.push(host(&world, &format!("host-{number}"), "ubuntu", "5.22.1").await);
    }
    pick(&world).await;
    for host in asked(&world, &hosts).await {
        say(&world, &host, &rows("5.22.1", STOCK)).await;
    }
    world.app.fleet.schemas.follow().await.unwrap();
    execute(&world, "UPDATE hosts SET osquery_version = '5.23.1'").await;
    // No host is picked twice in an hour.
    world.app.fleet.clock.advance(Duration::from_secs(3600));
    for host in &hosts {
        is_up_to_date(&world, host).await;
    }
    pick(&world).await;
    let newer: &[(&str, &[&str])] = &[("processes", &["pid", "name"]), ("new_table", &["a"]), ("users", &["uid"])];
    let picked = asked(&world, &hosts).await;
    assert_eq!(picked.len(), 4);
    for host in picked {
        say(&world, &host, &rows("5.23.1", newer)).await;
    }
    world.app.fleet.schemas.follow().await.unwrap();
    let seen = schema(&world, "").await;
    assert_eq!(names(&seen), ["new_table", "processes", "users"]);
    assert_eq!(seen["groups"].as_array().unwrap().len(), 1);
    assert_eq!(names(&schema(&world, "osquery_version=5.22.1").await), [""; 0]);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM table_sets").await, 2);
    world.app.fleet.schemas.forget_old().await.unwrap();
    assert_eq!(number(&world, "SELECT COUNT(*) FROM table_sets").await, 2, "one that was used just now stays");
    world.app.fleet.clock.advance(Duration::from_secs(7200));
    world.app.fleet.schemas.forget_old().await.unwrap();
    assert_eq!(number(&world, "SELECT COUNT(*) FROM table_sets").await, 1);
    // Reports end with their host, or when they are old.
    world.post("hosts/delete", json!({ "ids": [hosts[0].id] })).await.expect(200);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM schema_reports").await, 3);
    world.app.fleet.clock.advance(DAY * 15);
    for _ in 0..2 {
        world.app.fleet.schemas.forget_old().await.unwrap();
    }
    assert_eq!(number(&world, "SELECT COUNT(*) FROM schema_reports").await, 0);
    assert_eq!(number(&world, "SELECT COUNT(*) FROM table_sets").await, 0);
}

#[actix_web::test]
async fn of_two_nodes_one_asks_and_either_takes_the_answer() {
    let world = World::new().await;
    let other = world.beside().await;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for number in 0..12 {
        let key = world.enroll(&format!("host-{number}"), "ubuntu").await;
        here.push(host_of_key(&world, &key, "5.23.1").await);
        there.push(known_host(&other, &key).await);
    }
    pick(&world).await;
    // Both know who was picked, and neither what the other asks.
    other.app.fleet.schemas.follow().await.unwrap();
    let first = asked(&world, &here[..6]).await;
    let second = asked(&other, &there).await;
    assert_eq!(first.len() + second.len(), 5);
    assert!(asked(&world, &here).await.is_empty());
    for host in first.iter().chain(&second) {
        say(&other, host, &rows("5.23.1", STOCK)).await;
    }
    other.app.fleet.schemas.follow().await.unwrap();
    assert_eq!(names(&schema(&world, "").await), ["processes", "users"]);
    read_hosts(&other).await;
    assert_eq!(schema(&other, "").await, schema(&world, "").await);
}

#[actix_web::test]
async fn a_large_fleet_keeps_few_rows_and_is_read_in_few_statements() {
    let world = World::new().await;
    let mut hosts = Vec::new();
    for version in 0..12 {
        for number in 0..8 {
            let version = format!("5.{version}.0");
            hosts.push((host(&world, &format!("host-{version}-{number}"), "ubuntu", &version).await, version));
        }
    }
    pick(&world).await;
    let all: Vec<_> = hosts.iter().map(|(host, _)| Arc::clone(host)).collect();
    let picked = asked(&world, &all).await;
    assert_eq!(picked.len(), 12 * 5);
    for (host, version) in hosts.iter().filter(|(host, _)| picked.iter().any(|picked| picked.id == host.id)) {
        say(&world, host, &rows(version, STOCK)).await;
    }
    world.app.fleet.schemas.follow().await.unwrap();
    let reports = number(&world, "SELECT COUNT(*) FROM schema_reports").await;
    assert_eq!((reports, number(&world, "SELECT COUNT(*) FROM table_sets").await), (60, 1));
    let statements = &world.app.metrics.sql_statements;
    for most in [4, 3] {
        let before = statements.get();
        let seen = schema(&world, "platform=linux&query=PROC").await;
        assert_eq!((names(&seen), seen["groups"].as_array().unwrap().len()), (vec!["processes"], 12));
        assert!(statements.get() - before <= most, "{} statements", statements.get() - before);
    }
}
