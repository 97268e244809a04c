//! Times in memory.

use super::super::times::{MAX_PAGES_OF_OTHERS, PAGE_IDS, SeenTimes};
use crate::clock::Moment;

const MICROS: i64 = 1_000_000;

fn at(seconds: i64) -> Moment {
    Moment(seconds * MICROS + 999_999)
}

fn seen(times: &SeenTimes, host_id: i64) -> Moment {
    times.reader(Moment(i64::MAX)).seen(host_id, Moment::NEVER)
}

#[test]
fn times_are_rounded_down_and_only_ever_raised() {
    let times = SeenTimes::default();
    assert_eq!(seen(&times, 40_000), Moment::NEVER);
    let page = times.page_of(40_000);
    assert_eq!((seen(&times, 40_000), page.seen(40_000)), (Moment::NEVER, Moment::NEVER));
    page.mark(40_000, at(100));
    assert_eq!(seen(&times, 40_000), Moment(100 * MICROS));
    page.mark(40_000, at(90));
    times.merge([(40_000, 95)]);
    assert_eq!(page.seen(40_000), Moment(100 * MICROS));
    times.merge([1, 40_000, 2, 32_768].map(|id| (id, 120)));
    for id in [1, 2, 32_768, 40_000] {
        assert_eq!(seen(&times, id), Moment(120 * MICROS), "{id}");
    }
    assert_eq!([3, 32_769, i64::MAX].map(|id| seen(&times, id)), [Moment::NEVER; 3]);
}

#[test]
fn a_reader_knows_the_later_one_of_memory_and_row_whatever_the_order() {
    let times = SeenTimes::default();
    times.merge([(1, 100), (40_000, 100)]);
    let mut reader = times.reader(Moment(i64::MAX));
    let (row, later) = (Moment(50 * MICROS), Moment(101 * MICROS));
    for id in [1, 40_000, 40_000, 1] {
        assert_eq!((reader.seen(id, row), reader.seen(id, later)), (Moment(100 * MICROS), later), "{id}");
    }
    assert_eq!([2, 40_001, 70_000].map(|id| reader.seen(id, row)), [row; 3]);
    times.merge([(2, 120)]);
    assert_eq!(reader.seen(2, row), Moment(120 * MICROS), "a page that is kept shows what comes");
}

#[test]
fn check_ins_here_are_taken_once() {
    let times = SeenTimes::default();
    times.page_of(7).mark(7, at(100));
    times.page_of(70_000).mark(70_000, at(101));
    times.merge([(8, 102)]);
    let mut taken = times.take_here();
    taken.sort_unstable();
    assert_eq!(taken, [(7, 100), (70_000, 101)]);
    assert_eq!(times.take_here(), []);
    times.page_of(7).mark(7, at(100));
    assert_eq!(times.take_here(), [(7, 100)]);
}

#[test]
fn what_is_stored_is_not_to_be_stored_again() {
    let times = SeenTimes::default();
    times.page_of(70_000).mark(70_000, at(100));
    times.merge([(1, 99)]);
    assert_eq!(times.take_changed(), [0, 2]);
    assert!(times.take_changed().is_empty());
    times.page_of(1).mark(1, at(99));
    assert!(times.take_changed().is_empty(), "nothing was raised");
    assert!(times.merge_stored(0, &[0, 300], 400));
    assert_eq!(seen(&times, 1), Moment(300 * MICROS));
    assert!(times.take_changed().is_empty());
    times.are_changed(&[2]);
    assert_eq!(times.take_changed(), [2]);
}

#[test]
fn stored_times_ahead_of_the_clock_do_not_keep_a_host_online() {
    let times = SeenTimes::default();
    times.merge_stored(0, &[0, 405, 406], 400);
    assert_eq!(seen(&times, 1), Moment(400 * MICROS), "no later than the clock of this node");
    assert_eq!(seen(&times, 2), Moment::NEVER);
    times.merge_stored(0, &[0, 405, 500], 450);
    assert_eq!([1, 2].map(|id| seen(&times, id)), [Moment(405 * MICROS), Moment::NEVER]);
}

#[test]
fn others_cannot_fill_the_memory_with_pages_of_made_up_ids() {
    let times = SeenTimes::default();
    let first_of = |page: usize| (page * PAGE_IDS) as i64;
    let hosts = (0..MAX_PAGES_OF_OTHERS + 3).map(|page| (first_of(page), 100));
    assert_eq!(times.merge(hosts), 3);
    assert!(!times.merge_stored(i64::MAX / PAGE_IDS as i64, &[100], 100));
    assert!(times.merge_stored(0, &[101], 101));
    let own = first_of(MAX_PAGES_OF_OTHERS);
    times.page_of(own).mark(own, at(100));
    assert_eq!(times.merge([(own, 105), (own + 1, 105)]), 0);
    assert_eq!([0, own, own + 1].map(|id| seen(&times, id)), [101, 105, 105].map(|at| Moment(at * MICROS)));
}

#[test]
fn threads_lose_no_check_in() {
    let times = SeenTimes::default();
    let (mut here, mut changed) = (0, 0);
    std::thread::scope(|scope| {
        let marking: Vec<_> = (0..2_i64)
            .map(|thread| {
                let times = &times;
                scope.spawn(move || (1..=20_000).for_each(|round| times.page_of(thread).mark(thread, at(round))))
            })
            .collect();
        while marking.iter().any(|thread| !thread.is_finished()) {
            here += times.take_here().len();
            changed += times.take_changed().len();
        }
    });
    let last = times.take_here();
    assert!(here + last.len() > 0 && last.iter().all(|(_, seconds)| *seconds == 20_000));
    assert!(changed + times.take_changed().len() > 0);
    assert_eq!(times.times_of(0)[..2], [20_000, 20_000]);
}
