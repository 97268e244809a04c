//! Work on many things in one transaction, of which one may be to blame when it fails.

use std::collections::{BTreeMap, VecDeque};

use crate::store;

/// Things that can be worked on in two parts.
pub(super) trait Halve: Sized {
    fn count(&self) -> usize;

    /// Takes out the second half.
    fn split(&mut self) -> Self;
}

impl<T> Halve for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn split(&mut self) -> Self {
        self.split_off(self.len() / 2)
    }
}

impl<K: Ord + Copy, V> Halve for BTreeMap<K, V> {
    fn count(&self) -> usize {
        self.len()
    }

    fn split(&mut self) -> Self {
        self.keys().nth(self.len() / 2).copied().map_or_else(Self::new, |first| self.split_off(&first))
    }
}

/// Works on all of it at one time. What fails for a reason that may lie in one thing alone is worked on in halves, down to
/// one. Larger parts go first, so that most is done early. Tells what came of each part.
pub(super) async fn in_halves<P: Halve, T>(
    all: P,
    work: impl AsyncFn(&P) -> store::Result<T>,
    mut done: impl FnMut(P, store::Result<T>),
) {
    let mut parts = VecDeque::from([all]);
    while let Some(mut part) = parts.pop_front() {
        match work(&part).await {
            Err(error) if part.count() > 1 && error.may_be_of_one_row() => {
                tracing::debug!(%error, rows = part.count(), "not written together; each half is tried alone");
                let second = part.split();
                parts.extend([part, second]);
            }
            outcome => done(part, outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sea_orm::{ConnectionTrait as _, DbErr, TransactionTrait as _};

    use super::*;
    use crate::lock::lock;
    use crate::tests::world::World;

    async fn outcomes(all: Vec<u32>, error: fn() -> store::Error) -> (Vec<u32>, Vec<Vec<u32>>) {
        let (mut written, mut failed) = (Vec::new(), Vec::new());
        let work = async |part: &Vec<u32>| if part.contains(&7) { Err(error()) } else { Ok(()) };
        in_halves(all, work, |part, outcome| match outcome {
            Ok(()) => written.extend(part),
            Err(_) => failed.push(part),
        })
        .await;
        (written, failed)
    }

    #[tokio::test]
    async fn one_that_fails_stops_no_other() {
        let refused = || store::Error::Db(DbErr::Custom("refused".to_owned()));
        assert_eq!(outcomes((0..10).collect(), refused).await, (vec![0, 1, 2, 3, 4, 5, 6, 8, 9], vec![vec![7]]));
        let away = || store::Error::Unavailable("away".to_owned());
        assert_eq!(outcomes(vec![1, 7, 8], away).await, (vec![], vec![vec![1, 7, 8]]), "all at once");
    }

    /// SQLite has no locks of rows.
    #[actix_web::test]
    async fn many_wait_only_once_for_a_row_that_is_held() {
        let world = World::new().await;
        let store = &world.app.store;
        if store.shows_every_commit() {
            return;
        }
        for name in ["held", "free"] {
            world.enroll(name, "ubuntu").await;
        }
        let holder = store.current().inner().begin().await.unwrap();
        let update = |id| format!("UPDATE hosts SET hostname = 'new' WHERE id = {id}");
        holder.execute_unprepared(&update(1)).await.unwrap();
        let (tries, mut written) = (Mutex::new(Vec::new()), Vec::new());
        let work = async |part: &Vec<i64>| {
            store
                .write_beside(async |tx| {
                    lock(&tries).push(part.clone());
                    for id in part {
                        tx.execute_unprepared(&update(*id)).await?;
                    }
                    Ok(())
                })
                .await
        };
        in_halves(vec![1, 2], work, |part, outcome| written.extend(outcome.map(|()| part))).await;
        assert_eq!(written, [vec![2]]);
        assert_eq!(lock(&tries).as_slice(), [vec![1, 2], vec![1], vec![2]]);
        holder.rollback().await.unwrap();
    }

    #[test]
    fn both_parts_hold_something() {
        let mut map: BTreeMap<i64, ()> = (0..5).map(|id| (id, ())).collect();
        let second = map.split();
        assert_eq!((map.len(), second.len()), (2, 3));
    }
}
