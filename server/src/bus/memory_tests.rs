use super::*;

/// Made by a version without keys: its file is named by its id.
const JOB: JobKey = JobKey { id: 1, made: None };

#[tokio::test]
async fn it_keeps_what_a_bus_promises() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    super::super::contract_tests::run(MemoryBus::new(&path).unwrap(), async || MemoryBus::new(&path).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_claim_has_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    super::super::contract_tests::races(vec![Arc::new(MemoryBus::new(folder.path()).unwrap())], JOB).await;
}

#[tokio::test]
async fn events_are_kept_until_they_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let bus = MemoryBus::new(folder.path()).unwrap();
    let start = Start::Checkpoint { settled: RoaringTreemap::new(), note: b"states".to_vec() };
    bus.open(JOB, start.clone()).await.unwrap();
    assert!(bus.claim(JOB, 7, Moment(5), true).await.unwrap());
    assert!(bus.unclaim(JOB, 7).await.unwrap());
    assert!(bus.answer(JOB, 7, b"{\"host_id\":7}".to_vec(), b"note".to_vec()).await.unwrap());
    assert!(bus.answer(JOB, 8, Vec::new(), Vec::new()).await.unwrap());
    assert!(bus.close(JOB, b"why".to_vec()).await.unwrap());
    let expected = [
        JobChange::Restored { note: b"states".to_vec() },
        JobChange::Sent { host: 7, at: Moment(5), is_alone: true },
        JobChange::Pending { host: 7 },
        JobChange::Settled { host: 7, note: b"note".to_vec() },
        JobChange::Settled { host: 8, note: Vec::new() },
        JobChange::Closed { note: b"why".to_vec() },
    ];
    for after in [0, 0, 2, 6] {
        let events = bus.events(JOB, EventPosition { number: after, tag: 0 }).await.unwrap().events;
        let positions: Vec<u64> = events.iter().map(|event| event.position.number).collect();
        assert_eq!(positions, (after + 1..=6).collect::<Vec<_>>());
        let heard = usize::try_from(after).unwrap();
        assert!(events.into_iter().map(|event| event.change).eq(expected[heard..].iter().cloned()));
    }
    assert_eq!(bus.read(JOB, 0, 100).await.unwrap().lines.len(), 1, "an empty answer is no line");
    drop(bus);
    let bus = MemoryBus::new(folder.path()).unwrap();
    assert_eq!(bus.open(JOB, start).await.unwrap(), Opened::Found);
    assert_eq!(
        bus.events(JOB, EventPosition::default()).await.unwrap().events,
        [],
        "what was there says who is settled"
    );
}

#[tokio::test]
async fn an_answer_is_there_when_it_is_flushed_and_taken_back_when_it_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let bus = MemoryBus::new(folder.path()).unwrap();
    bus.open(JOB, Start::New).await.unwrap();
    assert!(bus.answer(JOB, 1, b"{\"host_id\":1}".to_vec(), Vec::new()).await.unwrap());
    let kept = bus.read(JOB, 0, usize::MAX).await.unwrap();
    let stream = bus.stream(JOB).unwrap();
    let first = stream.write(2, b"{\"host_id\":2}".to_vec(), Vec::new()).unwrap();
    let repeat = stream.write(2, b"{\"host_id\":2}".to_vec(), Vec::new()).unwrap();
    assert!(first.is_first && !repeat.is_first);
    assert_eq!(bus.read(JOB, 0, usize::MAX).await.unwrap(), kept, "nobody sees what may go away");
    stream.flush_now(|_| Err(io::Error::other("the disk is broken"))).unwrap_err();
    assert!(stream.flush(first).await.is_err() && stream.flush(repeat).await.is_err(), "neither was kept");
    assert!(bus.claim(JOB, 2, Moment(0), true).await.unwrap(), "the host has not answered");
    assert!(bus.answer(JOB, 2, b"{\"host_id\":2,\"n\":2}".to_vec(), Vec::new()).await.unwrap());
    let text = fs::read_to_string(folder.path().join("1.ndjson")).unwrap();
    assert_eq!(text, "{\"host_id\":1}\n{\"host_id\":2,\"n\":2}\n");
}

#[tokio::test]
async fn one_flush_is_for_everybody_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let bus = MemoryBus::new(folder.path()).unwrap();
    bus.open(JOB, Start::New).await.unwrap();
    let stream = bus.stream(JOB).unwrap();
    let one = stream.write(1, b"{\"host_id\":1}".to_vec(), Vec::new()).unwrap();
    let two = stream.write(2, b"{\"host_id\":2}".to_vec(), Vec::new()).unwrap();
    stream.flush_now(File::sync_data).unwrap();
    // With the file gone, a flush of their own would fail.
    fs::remove_file(folder.path().join("1.ndjson")).unwrap();
    assert!(stream.flush(one).await.unwrap() && stream.flush(two).await.unwrap());
}

#[tokio::test]
async fn a_line_cut_by_a_crash_is_not_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.ndjson"), "{\"host_id\":1}\n{\"host_id\":2,\"rows\"").unwrap();
    let bus = MemoryBus::new(folder.path()).unwrap();
    assert_eq!(bus.open(JOB, Start::New).await.unwrap(), Opened::Found);
    assert_eq!(bus.read(JOB, 0, usize::MAX).await.unwrap().lines.len(), 1);
    assert!(bus.answer(JOB, 2, b"{\"host_id\":2}".to_vec(), Vec::new()).await.unwrap());
    assert_eq!(bus.read(JOB, 0, usize::MAX).await.unwrap().lines.len(), 2);
}
