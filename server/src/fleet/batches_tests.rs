use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::*;

const SPACING: Duration = Duration::from_millis(20);

fn batches(max_waiting: usize) -> Arc<Batches<u32, u32>> {
    Arc::new(Batches { longest: SPACING, ..Batches::new(2, max_waiting, SPACING) })
}

async fn answer(batch: Vec<Unanswered<u32, u32>>) -> Vec<Unanswered<u32, u32>> {
    for asked in batch {
        let answer = asked.question + 1;
        let _ = asked.answer(answer);
    }
    Vec::new()
}

#[actix_web::test]
async fn a_batch_that_never_ends_does_not_stop_those_behind_it() {
    let batches = batches(10);
    let work = |batch: Vec<Unanswered<u32, u32>>| async move {
        if batch[0].question == 1 {
            std::future::pending::<()>().await;
        }
        answer(batch).await
    };
    let mut silent = Box::pin(batches.ask(1, work));
    assert!((&mut silent).now_or_never().is_none());
    tokio::task::yield_now().await;
    assert_eq!(batches.state(), (0, true));
    assert_eq!(batches.ask(5, work).await.unwrap(), 6);
    assert!(silent.await.is_err());
}

/// Where nothing runs local tasks, the task of a question cannot be begun.
#[test]
fn a_question_that_could_not_be_asked_does_not_wait() {
    let batches = batches(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let asked = runtime.block_on(AssertUnwindSafe(batches.ask(1, answer)).catch_unwind());
    assert!(asked.is_err());
    assert_eq!(batches.state(), (0, false));
    let asked = tokio::task::LocalSet::new().block_on(&runtime, batches.ask(2, answer));
    assert_eq!(asked.unwrap(), 3);
}

#[actix_web::test]
async fn a_request_that_is_given_up_makes_room_at_once() {
    let batches = batches(2);
    lock(&batches.waiting).is_worked_on = true;
    let mut both = Box::pin(futures_util::future::join(batches.ask(1, answer), batches.ask(2, answer)));
    assert!((&mut both).now_or_never().is_none());
    assert!(batches.ask(3, answer).await.is_err(), "too many");
    drop(both);
    assert_eq!(batches.state().0, 0);
}

#[actix_web::test]
async fn those_in_work_count_among_those_that_wait() {
    let batches = batches(1);
    let silent = |batch: Vec<Unanswered<u32, u32>>| async move {
        std::future::pending::<()>().await;
        batch
    };
    let mut first = Box::pin(batches.ask(1, silent));
    assert!((&mut first).now_or_never().is_none());
    tokio::task::yield_now().await;
    assert_eq!(batches.state(), (0, true));
    assert_eq!(batches.ask(2, silent).await, Err(NoAnswer::Full));
    assert_eq!(first.await, Err(NoAnswer::Failed));
    assert_eq!(batches.ask(3, answer).await, Ok(4));
}

#[actix_web::test]
async fn a_question_that_is_given_back_waits_on() {
    let batches = batches(10);
    let tries = std::rc::Rc::new(std::cell::Cell::new(0));
    let asked = batches.ask(1, move |batch| {
        let tries = std::rc::Rc::clone(&tries);
        async move {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { batch } else { answer(batch).await }
        }
    });
    assert_eq!(asked.await, Ok(2));
}

#[actix_web::test]
async fn questions_that_come_together_are_answered_together() {
    let batches = batches(100);
    let sizes = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let ask = |question| {
        let sizes = std::rc::Rc::clone(&sizes);
        batches.ask(question, move |batch| {
            sizes.borrow_mut().push(batch.len());
            answer(batch)
        })
    };
    for question in 0..3 {
        assert_eq!(ask(question).await, Ok(question + 1));
    }
    assert_eq!(*sizes.borrow(), [1, 1, 1]);
    let all = futures_util::future::join_all((0..5).map(ask)).await;
    assert_eq!(all, [1, 2, 3, 4, 5].map(Ok));
    // Of the size of a batch here.
    assert_eq!(sizes.borrow()[3..], [2, 2, 1]);
}

#[actix_web::test]
async fn enough_questions_wait_for_no_others() {
    let batches = Arc::new(Batches::new(10, 10, Duration::from_secs(3600)).enough_at(3));
    let first = batches.ask(0, answer).await;
    assert_eq!(first, Ok(1), "nobody came before");
    lock(&batches.waiting).spacing.begin(2, false);
    assert!(batches.ask(1, answer).now_or_never().is_none());
    let three = futures_util::future::join3(batches.ask(1, answer), batches.ask(2, answer), batches.ask(3, answer));
    assert_eq!(three.await, (Ok(2), Ok(3), Ok(4)));
}
