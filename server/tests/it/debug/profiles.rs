use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use pprof::protos::{Message as _, Profile};

use super::{get, go_top, refusal};
use crate::support::{Load, Rest, ServerProcess, ServerSetup, eventually};

const SOON: Duration = Duration::from_secs(60);

/// A server of its own, agents that never rest, and an administrator.
async fn busy() -> (ServerSetup, ServerProcess, Rest, Load) {
    let setup = ServerSetup::new(&["osquery_enroll_cooldown=0"]);
    let mut command = setup.command();
    // One allocation in 32 KiB is noted, so that what a test allocates is among them.
    command.env("MALLOC_CONF", "lg_prof_sample:15");
    let process = setup.start_by(command).await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let mut agents = Vec::new();
    for index in 0..8 {
        agents.push(setup.address().enrolled(index).await);
    }
    (setup, process, rest, Load::start(agents, 300))
}

fn unpacked(body: &[u8]) -> Profile {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    Profile::decode(plain.as_slice()).unwrap()
}

/// The innermost function of each stack.
fn innermost(profile: &Profile) -> Vec<String> {
    let of_location = |id: &u64| {
        let line = profile.location.iter().find(|location| location.id == *id)?.line.first()?;
        let function = profile.function.iter().find(|function| function.id == line.function_id)?;
        profile.string_table.get(usize::try_from(function.name).ok()?).cloned()
    };
    profile.sample.iter().filter_map(|sample| of_location(sample.location_id.first()?)).collect()
}

/// That a profile has samples and names functions of this server, by its own string table and by Go's reader.
fn names_functions_of_the_server(body: &[u8], folder: &Path) {
    let profile = unpacked(body);
    assert!(!profile.sample.is_empty());
    let names =
        profile.function.iter().filter_map(|function| profile.string_table.get(usize::try_from(function.name).ok()?));
    assert!(names.clone().any(|name| name.contains("muster::")), "{:?}", names.take(200).collect::<Vec<_>>());
    let file = folder.join("profile.pb.gz");
    std::fs::write(&file, body).unwrap();
    if let Some(top) = go_top(&file) {
        assert!(top.contains("muster::"), "{top}");
    }
}

#[tokio::test]
async fn a_cpu_profile_names_what_ran_for_agents() {
    let (setup, _process, rest, load) = busy().await;
    let response = get(&rest, "pprof/profile?seconds=3").await;
    assert_eq!(response.status(), 200);
    let body = response.bytes().await.unwrap();
    let (_, report, _) = load.finish().await;
    assert!(report.accepted > 0 && report.unanswered == 0, "{report:?}");
    names_functions_of_the_server(&body, setup.folder());
    let profile = unpacked(&body);
    for name in innermost(&profile) {
        let is_own = ["backtrace::", "pprof::"].iter().any(|begin| name.trim_start_matches('<').starts_with(begin));
        assert!(!is_own, "the profiler is in its profile: {name}");
    }
    assert!(profile.string_table.iter().any(|name| name.contains("muster::agent")), "{:?}", profile.string_table);
}

#[tokio::test]
async fn a_flame_graph_is_a_picture_of_the_same() {
    let (_setup, _process, rest, load) = busy().await;
    let response = get(&rest, "flamegraph?seconds=2").await;
    assert_eq!(response.headers()["content-type"], "image/svg+xml");
    let picture = response.text().await.unwrap();
    load.finish().await;
    assert!(picture.starts_with("<?xml") && picture.trim_end().ends_with("</svg>"), "{picture}");
    assert_eq!(picture.matches("<?xml").count(), 1);
    assert!(picture.contains("muster::"), "{picture}");
}

#[tokio::test]
async fn profiles_of_memory_name_who_allocated_it() {
    let (setup, _process, rest, load) = busy().await;
    eventually("the agents have made some rounds", SOON, async || (load.rounds() > 20).then_some(())).await;
    for item in ["pprof/heap", "pprof/allocs"] {
        let response = get(&rest, item).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().contains_key("muster-note"), item == "pprof/allocs");
        names_functions_of_the_server(&response.bytes().await.unwrap(), setup.folder());
    }
    load.finish().await;
}

#[tokio::test]
async fn one_profile_is_taken_at_a_time_and_ends_when_nobody_waits_for_it() {
    let setup = ServerSetup::new(&[]);
    let _process = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let open = get(&rest, "pprof/profile?seconds=120").await;
    assert_eq!(open.status(), 200);
    for item in ["pprof/profile", "flamegraph"] {
        let refused = get(&rest, item).await;
        let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=121).contains(&seconds), "{seconds}");
        assert!(refusal(refused, 429).await.contains("is being taken"));
    }
    drop(open);
    eventually("a profile that nobody waits for ends", SOON, async || {
        (get(&rest, "flamegraph?seconds=1").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_length_that_is_none_is_refused() {
    let setup = ServerSetup::new(&[]);
    let _process = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    for wrong in ["0", "121", "-1", "1.5", "soon", ""] {
        let refused = get(&rest, &format!("pprof/profile?seconds={wrong}")).await;
        assert_eq!(refusal(refused, 400).await, "seconds: expects a whole number from 1 to 120", "{wrong}");
    }
}
