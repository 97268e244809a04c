use std::time::Instant;

use tokio::sync::oneshot;

use super::*;

/// Other tests of this process use the same list.
fn shown(name: &str) -> Vec<WorkInProgress> {
    snapshot().works.into_iter().filter(|work| work.name == name).collect()
}

fn waits(work: &WorkInProgress) -> Vec<WaitsFor> {
    work.waits.iter().map(|(what, _)| *what).collect()
}

fn figures(what: WaitsFor) -> WaitFigures {
    wait_figures(&snapshot()).into_iter().find(|figures| figures.what == what).unwrap()
}

#[tokio::test]
async fn a_request_shows_with_what_it_waits_for_until_it_ends() {
    let (answer, answered) = oneshot::channel::<()>();
    let before = figures(WaitsFor::ChangeQueue).count;
    let request = tokio::spawn(async {
        let work = Ongoing::with_id(WorkKind::Operator, "a request that waits".to_owned(), "id-1", Instant::now());
        work.run(async {
            assert_eq!(Ongoing::current_id().as_deref(), Some("id-1"));
            waiting_for(WaitsFor::ChangeQueue, std::future::ready(())).await;
            waiting_first(WaitsFor::ChangeQueue, WaitsFor::Redis, answered).await
        })
        .await
    });
    tokio::task::yield_now().await;
    let [work] = &shown("a request that waits")[..] else { panic!() };
    assert_eq!((work.id.as_str(), work.kind, waits(work)), ("id-1", WorkKind::Operator, vec![WaitsFor::ChangeQueue]));
    assert!(work.waits[0].1 >= work.since);
    assert_eq!(Ongoing::current_id(), None, "of no other work");
    answer.send(()).unwrap();
    request.await.unwrap().unwrap();
    assert_eq!(shown("a request that waits"), []);
    assert!(figures(WaitsFor::ChangeQueue).count > before, "what did not wait is not counted, what waited is");
}

#[test]
fn what_debug_waits_for_is_not_among_the_waits_of_now() {
    for (kind, expected) in [(WorkKind::Debug, 0), (WorkKind::Operator, 1)] {
        let work = Ongoing::begin(kind, "asks for figures", Instant::now());
        let _entered = work.enter();
        let _wait = Wait::begin(WaitsFor::DatabaseConnection);
        let now = WorkNow { works: shown("asks for figures"), left_out: 0 };
        let figures = wait_figures(&now).into_iter().find(|figures| figures.what == WaitsFor::DatabaseConnection);
        assert_eq!(figures.unwrap().waiting_now, expected, "{kind:?}");
    }
}

#[tokio::test]
async fn work_that_goes_on_elsewhere_shows_until_the_last_part_has_ended() {
    let work = Ongoing::of_agent("work in two parts", Instant::now());
    let part = work.run(async { Ongoing::current().unwrap() }).await;
    assert_eq!(waits(&shown("work in two parts")[0]), [WaitsFor::RequestBody]);
    drop(work);
    {
        let _entered = part.enter();
        Ongoing::has_body();
        let _wait = Wait::begin(WaitsFor::Database);
        assert_eq!(waits(&shown("work in two parts")[0]), [WaitsFor::Database]);
    }
    assert_eq!(waits(&shown("work in two parts")[0]), []);
    drop(part);
    assert_eq!(shown("work in two parts"), []);
}

#[tokio::test]
async fn a_part_of_a_request_that_runs_elsewhere_waits_in_its_name() {
    let (answer, answered) = oneshot::channel::<()>();
    let work = Ongoing::of_agent("a request with a part", Instant::now());
    let (part,) = work.run(async { (tokio::spawn(Ongoing::part(waiting_for(WaitsFor::LogSink, answered))),) }).await;
    tokio::task::yield_now().await;
    drop(work);
    assert_eq!(waits(&shown("a request with a part")[0]), [WaitsFor::RequestBody, WaitsFor::LogSink]);
    answer.send(()).unwrap();
    part.await.unwrap().unwrap();
    assert_eq!(shown("a request with a part"), []);
}

#[test]
fn a_wait_of_unnamed_work_is_counted_and_one_that_is_forgotten_is_not() {
    let before = figures(WaitsFor::ConfigAssembly).waiting_now;
    let wait = Wait::begin(WaitsFor::ConfigAssembly);
    assert!(figures(WaitsFor::ConfigAssembly).waiting_now > before);
    wait.forget();
}

#[test]
fn work_beyond_the_bound_is_counted_and_its_places_are_taken_again() {
    let works: Vec<_> = (0..5_000).map(|_| Ongoing::begin(WorkKind::Task, "one of many", Instant::now())).collect();
    let now = snapshot();
    assert!(now.left_out >= 5_000 - 4_096, "{}", now.left_out);
    drop(works);
    assert_eq!(shown("one of many"), []);
    let again: Vec<_> = (0..10).map(|_| Ongoing::begin(WorkKind::Task, "one of few", Instant::now())).collect();
    assert_eq!(shown("one of few").len(), again.len());
}

#[test]
fn a_trace_holds_what_ended_and_what_is_under_way_and_there_is_one_at_a_time() {
    let _before = Ongoing::begin(WorkKind::Task, "before the trace", Instant::now());
    let trace = start_trace().unwrap();
    assert!(start_trace().is_none());
    let work = Ongoing::of_agent("within the trace", Instant::now());
    {
        let _entered = work.enter();
        drop(Wait::begin(WaitsFor::LogSink));
    }
    drop(work);
    let (spans, left_out) = trace.finish();
    let found = |name: &str, category: &str| spans.iter().find(|span| span.name == name && span.category == category);
    let request = found("within the trace", "agent").unwrap();
    let wait = spans.iter().find(|span| span.category == "wait" && span.id == request.id).unwrap();
    assert_eq!((wait.row, wait.name.as_ref(), left_out), (request.row, "log sink", 0));
    assert!(found("before the trace", "task").unwrap().since.is_zero());
    drop(start_trace().unwrap());
}

/// What each request of an agent pays. The figure is for people: `cargo test --release … -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn what_a_request_pays() {
    const REQUESTS: u32 = 2_000_000;
    let start = Instant::now();
    for _ in 0..REQUESTS {
        let work = Ongoing::of_agent("measured", start);
        drop(work.enter());
        let _entered = work.enter();
        Ongoing::has_body();
    }
    eprintln!("{:?} for a request", start.elapsed() / REQUESTS);
}
