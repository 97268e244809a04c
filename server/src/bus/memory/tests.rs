use std::fs::{self, File};
use std::io::{self, Write as _};
use std::process::Command;

use bytes::Bytes;
use roaring::RoaringTreemap;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::*;
use crate::bus::JobChange;
use crate::bus::contract_tests::soon;

/// Made by a version without keys: its file is named by its id.
const JOB: JobKey = JobKey { id: 1, made: None };
const OTHER: JobKey = JobKey { id: 2, made: None };

/// A checkpoint that covers so many bytes of answers.
fn checkpoint(covered: u64) -> Start {
    Start::Checkpoint { settled: RoaringTreemap::new(), note: b"states".to_vec(), covered }
}

/// A bus whose notes are the lines themselves.
fn bus_in(folder: &Path) -> MemoryBus {
    MemoryBus::new(folder, <[u8]>::to_vec).unwrap()
}

/// A bus on a folder that another one of this process has let go. Programs that other tests start at this moment hold its lock
/// until they are running.
async fn bus_again(folder: &Path) -> MemoryBus {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match MemoryBus::new(folder, <[u8]>::to_vec) {
            Ok(bus) => return bus,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

fn line(host: i64) -> Vec<u8> {
    format!("{{\"host_id\":{host}}}").into_bytes()
}

async fn is_pending(future: &mut BusFuture<'_, Opened>) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = std::future::ready(()) => true,
    }
}

#[tokio::test]
async fn it_keeps_what_a_bus_promises() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    crate::bus::contract_tests::run(bus_in(&path), async || bus_again(&path).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_claim_has_one_winner() {
    let folder = tempfile::tempdir().unwrap();
    crate::bus::contract_tests::races(vec![Arc::new(bus_in(folder.path()))], JOB).await;
}

#[tokio::test]
async fn a_rate_and_a_pause_hold_back_claims() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Arc::new(bus_in(folder.path()));
    crate::bus::contract_tests::paces(Arc::clone(&bus), bus, JOB).await;
}

#[tokio::test]
async fn events_are_kept_until_they_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus_in(folder.path());
    bus.open(JOB, checkpoint(0)).await.unwrap();
    assert!(bus.claim(JOB, 7, Moment(5), true, false).await.unwrap().is_won());
    assert!(bus.unclaim(JOB, 7).await.unwrap());
    assert!(bus.answer(JOB, 7, line(7).into(), b"note".to_vec(), soon()).await.unwrap());
    assert!(bus.answer(JOB, 8, Bytes::new(), Vec::new(), soon()).await.unwrap());
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
}

/// What a checkpoint covers is not read again, however large it is.
#[tokio::test]
async fn after_a_restart_the_answers_behind_the_checkpoint_are_events() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus_in(folder.path());
    bus.open(JOB, Start::New).await.unwrap();
    for host in [7, 8, 9] {
        assert!(bus.answer(JOB, host, line(host).into(), Vec::new(), soon()).await.unwrap());
    }
    let ends: Vec<u64> = bus.read(JOB, 0, 1000).await.unwrap().lines.iter().map(|line| line.cursor).collect();
    let path = folder.path().join("1.ndjson");
    // One of another host would show that it was read.
    let text = fs::read_to_string(&path).unwrap().replace(":7}", ":1}");
    fs::write(&path, text).unwrap();
    let settled = |hosts: &[i64]| -> Vec<JobChange> {
        let note = |host| [line(host), b"\n".to_vec()].concat();
        hosts.iter().map(|host| JobChange::Settled { host: *host, note: note(*host) }).collect()
    };
    let cases: [(u64, &[i64]); 6] = [
        (0, &[1, 8, 9]),
        (ends[0], &[8, 9]),
        (ends[2], &[]),
        (ends[0] + 1, &[1, 8, 9]),
        (ends[2] + 1, &[1, 8, 9]),
        (u64::MAX, &[1, 8, 9]),
    ];
    drop(bus);
    for (covered, hosts) in cases {
        let bus = bus_in(folder.path());
        assert_eq!(bus.open(JOB, checkpoint(covered)).await.unwrap(), Opened::Found);
        let changes: Vec<_> = bus
            .events(JOB, EventPosition::default())
            .await
            .unwrap()
            .events
            .into_iter()
            .map(|event| event.change)
            .collect();
        assert_eq!(changes, settled(hosts), "{covered} bytes are covered");
        assert_eq!(bus.length(JOB), ends[2]);
    }
}

/// Nobody would read them. Rows of an older version say nothing of how much is covered.
#[tokio::test]
async fn a_job_that_is_over_makes_no_events_of_its_answers() {
    for (text, lines) in [("{\"host_id\":1}\n", 1), ("{\"host_id\":1}\n{\"host_id\":2", 1), ("", 0)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("1.ndjson"), text).unwrap();
        let bus = bus_in(folder.path());
        let over = Start::Over { settled: RoaringTreemap::new(), note: Vec::new() };
        assert_eq!(bus.open(JOB, over).await.unwrap(), Opened::Found);
        assert!(bus.events(JOB, EventPosition::default()).await.unwrap().events.is_empty());
        assert_eq!(bus.read(JOB, 0, usize::MAX).await.unwrap().lines.len(), lines);
    }
}

#[tokio::test]
async fn an_answer_is_there_when_it_is_flushed_and_taken_back_when_it_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus_in(folder.path());
    bus.open(JOB, Start::New).await.unwrap();
    // Written here: a writer of its own may not be done when its answer is.
    let file = bus.file(JOB).unwrap();
    let (one, _) = file.queue(1, line(1).into(), Vec::new());
    file.write_batch(file.next_batch().unwrap(), File::sync_data);
    assert!(one.outcome().await.unwrap() && file.next_batch().is_none());
    let kept = bus.read(JOB, 0, usize::MAX).await.unwrap();
    let (first, must_write) = file.queue(2, line(2).into(), Vec::new());
    let (repeat, second) = file.queue(2, line(2).into(), Vec::new());
    assert!(must_write && !second, "one writer for all");
    file.write_batch(file.next_batch().unwrap(), |_| {
        assert_eq!(bus.length(JOB), kept.next, "nobody sees what may go away");
        Err(io::Error::other("the disk is broken"))
    });
    assert!(first.outcome().await.is_err() && repeat.outcome().await.is_err(), "neither was kept");
    assert!(file.next_batch().is_none());
    assert_eq!(bus.read(JOB, 0, usize::MAX).await.unwrap(), kept);
    assert!(bus.claim(JOB, 2, Moment(0), true, false).await.unwrap().is_won(), "the host has not answered");
    assert!(bus.answer(JOB, 2, b"{\"host_id\":2,\"n\":2}".to_vec().into(), Vec::new(), soon()).await.unwrap());
    let text = fs::read_to_string(folder.path().join("1.ndjson")).unwrap();
    assert_eq!(text, "{\"host_id\":1}\n{\"host_id\":2,\"n\":2}\n");
}

#[tokio::test]
async fn one_flush_is_for_everybody_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus_in(folder.path());
    bus.open(JOB, Start::New).await.unwrap();
    let file = bus.file(JOB).unwrap();
    let (one, two) = (file.queue(1, line(1).into(), Vec::new()).0, file.queue(2, line(2).into(), Vec::new()).0);
    let (again, given_up) = (file.queue(1, line(1).into(), Vec::new()).0, file.queue(3, line(3).into(), Vec::new()).0);
    drop(given_up);
    let mut flushes = 0;
    file.write_batch(file.next_batch().unwrap(), |file| {
        flushes += 1;
        file.sync_data()
    });
    assert_eq!(flushes, 1);
    assert!(one.outcome().await.unwrap() && two.outcome().await.unwrap() && !again.outcome().await.unwrap());
    assert!(file.next_batch().is_none(), "what was given up is not written");
    assert_eq!(bus.read(JOB, 0, usize::MAX).await.unwrap().lines.len(), 2);
}

#[tokio::test]
async fn what_is_flushed_after_the_end_of_a_job_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus_in(folder.path());
    bus.open(JOB, Start::New).await.unwrap();
    let file = bus.file(JOB).unwrap();
    let (late, _) = file.queue(1, line(1).into(), Vec::new());
    let batch = file.next_batch().unwrap();
    assert!(bus.close(JOB, Vec::new()).await.unwrap());
    file.write_batch(batch, File::sync_data);
    assert!(!late.outcome().await.unwrap());
    assert_eq!(bus.events(JOB, EventPosition::default()).await.unwrap().events.len(), 1, "it is closed, and no more");
    assert_eq!(fs::read(folder.path().join("1.ndjson")).unwrap(), b"");
}

/// A pipe stands in for a disk that takes nothing any more: whoever writes more than it holds waits.
#[tokio::test]
async fn a_stuck_disk_holds_up_answers_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Arc::new(bus_in(folder.path()));
    bus.open(JOB, Start::New).await.unwrap();
    let path = folder.path().join("1.ndjson");
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut disk = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let answering = tokio::spawn({
        let bus = Arc::clone(&bus);
        async move { bus.answer(JOB, 1, vec![b'x'; 1 << 20].into(), Vec::new(), soon()).await }
    });
    disk.read_u8().await.unwrap();
    // It is being written now, and cannot be until somebody reads on.
    assert!(bus.claim(JOB, 2, Moment(0), true, false).await.unwrap().is_won());
    assert!(bus.unclaim(JOB, 2).await.unwrap());
    assert!(bus.answer(JOB, 3, Bytes::new(), Vec::new(), soon()).await.unwrap(), "what needs no disk");
    assert_eq!(bus.events(JOB, EventPosition::default()).await.unwrap().events.len(), 3);
    assert_eq!(bus.open(OTHER, Start::New).await.unwrap(), Opened::Made, "other jobs go on");
    assert!(bus.answer(OTHER, 1, line(1).into(), Vec::new(), soon()).await.unwrap());
    assert!(bus.close(JOB, Vec::new()).await.unwrap());
    assert!(!answering.is_finished());
    let mut rest = Vec::new();
    disk.read_to_end(&mut rest).await.unwrap();
    assert!(answering.await.unwrap().is_err(), "a pipe cannot be flushed");
}

/// Nobody who gives up while a file is read makes the next one begin anew.
#[tokio::test]
async fn a_file_is_read_once_whoever_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.ndjson");
    let real = folder.path().join("real");
    fs::write(&real, [line(7), b"\n".to_vec()].concat()).unwrap();
    // Opening a pipe waits until somebody writes.
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let bus = bus_in(folder.path());
    let mut opening = bus.open(JOB, checkpoint(0));
    assert!(is_pending(&mut opening).await);
    drop(opening);
    assert_eq!(bus.claim(JOB, 7, Moment(0), true, false).await, Err(BusError::Lost(1)), "nobody waits for it");
    let mut again = bus.open(JOB, checkpoint(0));
    assert!(is_pending(&mut again).await);
    // The first one gets a pipe, which is no file of results; the second one the file.
    while pipe::OpenOptions::new().open_sender(&path).is_err() {
        tokio::task::yield_now().await;
    }
    fs::rename(&real, &path).unwrap();
    assert_eq!(again.await.unwrap(), Opened::Found);
    assert_eq!(bus.events(JOB, EventPosition::default()).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_line_cut_by_a_crash_is_not_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::create(folder.path().join("1.ndjson")).unwrap();
    file.write_all(b"{\"host_id\":1}\n{\"host_id\":2,\"rows\"").unwrap();
    let bus = bus_in(folder.path());
    assert_eq!(bus.open(JOB, Start::New).await.unwrap(), Opened::Found);
    assert_eq!(bus.read(JOB, 0, usize::MAX).await.unwrap().lines.len(), 1);
    assert!(bus.answer(JOB, 2, line(2).into(), Vec::new(), soon()).await.unwrap());
    assert_eq!(bus.read(JOB, 0, usize::MAX).await.unwrap().lines.len(), 2);
}
