//! Samples of the same hosts that come to one node or another, late and twice.

use super::*;

const HOSTS: i64 = 40;
const HOURS: u64 = 5;

/// A number that looks random.
fn mixed(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 17
}

/// A host whose counters are known exactly.
struct Simulated {
    host: Arc<Host>,
    pid: u64,
    counters: Vec<(String, Counters)>,
    /// For each query, user time of a run and runs since the last sample.
    runs: Vec<(u64, u64)>,
}

impl Simulated {
    fn new(id: i64) -> Self {
        let host = host(id, if id % 3 == 0 { "windows" } else { "ubuntu" });
        let counters = ["a", "b", "c"].map(|name| (name.to_owned(), Counters::default())).into();
        Self { host, pid: 1, counters, runs: Vec::new() }
    }

    /// Runs its queries for a while, and gives the sample that is taken then.
    fn live(&mut self, until: u64) -> Sample {
        let id = self.host.id.cast_unsigned();
        self.runs.clear();
        for (at, (_, counters)) in self.counters.iter_mut().enumerate() {
            let seed = mixed(id * 1000 + until / 60 * 3 + at as u64);
            // From a few to a few thousand milliseconds.
            let (runs, user_ms) = (1 + seed % 15, (f64::from((seed % 7_000) as u32) / 1000.0).exp() as u64 + 3);
            counters.executions += runs;
            counters.user_ms += runs * user_ms;
            counters.wall_ms += runs * user_ms * 2;
            counters.last_executed = until;
            self.runs.push((user_ms, runs));
        }
        if mixed(id ^ until).is_multiple_of(11) {
            self.pid += 1;
        }
        sample(until, self.pid, &self.counters)
    }
}

/// Lets all hosts live and gives what was sampled, each with the number of its node, in the order in which it comes.
fn samples(expected: &mut Vec<(u64, u64)>) -> Vec<(u64, Arc<Host>, Sample)> {
    let mut hosts: Vec<Simulated> = (1..=HOSTS).map(Simulated::new).collect();
    let mut all = Vec::new();
    for quarter in 0..HOURS * 4 {
        let until = START + 10 + quarter * 900;
        for simulated in &mut hosts {
            let sample = simulated.live(until);
            if quarter > 0 {
                expected.push(simulated.runs[0]);
            }
            all.push((mixed(until + simulated.host.id.cast_unsigned()) % 2, Arc::clone(&simulated.host), sample));
        }
    }
    all
}

/// What operators see of all that, without the moment at which they look.
async fn seen(world: &World) -> Value {
    let mut seen = json!([report(world, "a").await, report(world, "b").await, report(world, "c").await]);
    for report in seen.as_array_mut().unwrap() {
        for key in ["from", "to"] {
            report[key] = Value::Null;
        }
    }
    seen
}

fn exact(values: &[(u64, u64)], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let all: u64 = sorted.iter().map(|(_, runs)| runs).sum();
    let rank = (part * (all - 1) as f64).round() as u64;
    let mut below = 0;
    for (value, runs) in sorted {
        below += runs;
        if rank < below {
            return value as f64;
        }
    }
    unreachable!("the rank is below the number of runs")
}

#[actix_web::test]
async fn two_nodes_count_what_one_would() {
    let mut expected = Vec::new();
    let all = samples(&mut expected);
    let one = World::new().await;
    let first = World::new().await;
    for world in [&one, &first] {
        add_hosts(world, HOSTS).await;
        serve(world, schedule(["a", "b", "c"].map(str::to_owned)), &[]).await;
    }
    let second = first.beside().await;
    let nodes = [&first.app.fleet.statistics, &second.app.fleet.statistics];
    let mut before = START;
    for (number, (node, host, sample)) in all.iter().enumerate() {
        let passed = Duration::from_secs(sample.unix_time - before);
        [&one, &first, &second].into_iter().for_each(|world| world.app.fleet.clock.advance(passed));
        before = sample.unix_time;
        one.app.fleet.statistics.add(host, sample.clone());
        let node = nodes[*node as usize];
        node.add(host, sample.clone());
        match mixed(number as u64) % 40 {
            0 => nodes[0].write(true).await.unwrap(),
            1 => nodes[1].write(true).await.unwrap(),
            // An agent that got no answer sends the same again, maybe to the other node.
            2 => nodes[number % 2].add(host, sample.clone()),
            3 => one.app.fleet.statistics.write(true).await.unwrap(),
            _ => {}
        }
        // Before the next sample of each host: what overtakes an earlier sample would be told by both worlds, but in the
        // buckets of other hours.
        if (number + 1) % usize::try_from(HOSTS).unwrap() == 0 {
            for statistics in [&one.app.fleet.statistics, nodes[0], nodes[1]] {
                statistics.write(true).await.unwrap();
            }
            if number % 3 == 0 {
                nodes[0].close().await.unwrap();
            }
        }
    }
    let seen_by_one = seen(&one).await;
    assert_eq!(seen(&first).await, seen_by_one);
    assert_eq!(seen(&second).await, seen_by_one);
    let a = &seen_by_one[0];
    assert_eq!(a["total"]["executions"], expected.iter().map(|(_, runs)| runs).sum::<u64>());
    assert_eq!(a["total"]["hosts"], HOSTS);
    for (key, part) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        let (shown, exact) = (a["total"]["user_time"][key].as_f64().unwrap(), exact(&expected, part));
        assert!((shown - exact).abs() <= 0.02 * exact, "{key}: {shown} instead of {exact}");
    }
    // Closing what is over changes nothing, however often, and neither does it by which node.
    for world in [&first, &second, &one] {
        world.app.fleet.clock.advance(Duration::from_secs(7_200));
    }
    let span = "statistics/query?name=a&from=2020-09-13T00:00:00Z&to=2020-09-13T23:00:00Z";
    let open = first.get(span).await.expect(200);
    for statistics in [nodes[1], nodes[0], nodes[1]] {
        statistics.close().await.unwrap();
    }
    assert_eq!(first.get(span).await.expect(200), open);
    assert_eq!(second.get(span).await.expect(200), open);
    assert_eq!(open["total"]["executions"], a["total"]["executions"]);
    assert_eq!(open["buckets"].as_array().unwrap().len() as u64, HOURS + 1);
    let stats_before = first.get("statistics/queries").await.expect(200);
    assert_eq!(stats_before["queries"][0]["executions"].as_u64(), one_of(&seen_by_one, &stats_before));
    assert!(!a["worst_hosts"].as_array().unwrap().is_empty());
}

/// Executions that the report of the first query in the list of the fleet names.
fn one_of(reports: &Value, of_fleet: &Value) -> Option<u64> {
    let name = &of_fleet["queries"][0]["name"];
    reports.as_array()?.iter().find(|report| report["name"] == *name)?["total"]["executions"].as_u64()
}

#[actix_web::test]
async fn restarts_and_standstill_are_told() {
    let world = World::new().await;
    add_hosts(&world, 2).await;
    serve(&world, schedule(["a".to_owned()]), &[]).await;
    let statistics: &Statistics = &world.app.fleet.statistics;
    let (killed, still) = (host(1, "ubuntu"), host(2, "ubuntu"));
    let ran = |executions| [("a".to_owned(), Counters { executions, ..Counters::default() })];
    for hour in 0..4_u64 {
        let unix_time = START + hour * 3600;
        let mut of_killed = sample(unix_time, 7 + u64::from(hour >= 2), &ran(hour));
        of_killed.queries[0].counters.is_denylisted = hour >= 2;
        statistics.add(&killed, of_killed);
        statistics.add(&still, sample(unix_time, 1, &ran(5)));
        statistics.write(true).await.unwrap();
        world.app.fleet.clock.advance(Duration::from_secs(3600));
    }
    let restarts = world.get("statistics/restarts").await.expect(200)["restarts"].clone();
    assert_eq!(restarts.as_array().unwrap().len(), 1);
    assert_eq!((&restarts[0]["hostname"], &restarts[0]["is_upgrade"]), (&json!("host-1"), &json!(false)));
    assert_eq!(restarts[0]["suspects"], json!([{ "pack": "", "name": "a" }]));
    let stalled = world.get("statistics/stalled").await.expect(200);
    let expected = json!([{ "host_id": 2, "hostname": "host-2", "since": "2020-09-13T12:26:40Z" }]);
    assert_eq!(stalled["hosts"], expected);
    world.app.fleet.clock.advance(Duration::from_secs(4 * 3600));
    assert_eq!(world.get("statistics/stalled").await.expect(200)["hosts"], json!([]), "it has gone offline");
    // With the host goes what is known of it.
    world.post("hosts/delete", json!({ "ids": [1, 2] })).await.expect(200);
    for list in ["restarts", "denylist"] {
        assert_eq!(world.get(&format!("statistics/{list}")).await.expect(200)[list], json!([]));
    }
    assert_eq!(world.get("statistics/stalled").await.expect(200)["hosts"], json!([]));
    statistics.add(&killed, sample(START + 20_000, 8, &ran(9)));
    statistics.write(true).await.unwrap();
}
