//! Work on many things in one transaction, of which one may be to blame when it fails.

use std::collections::BTreeMap;

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
/// one. Tells what came of each part.
pub(super) async fn in_halves<P: Halve, T>(
    all: P,
    work: impl AsyncFn(&P) -> store::Result<T>,
    mut done: impl FnMut(P, store::Result<T>),
) {
    let mut parts = vec![all];
    while let Some(mut part) = parts.pop() {
        match work(&part).await {
            Err(error) if part.count() > 1 && error.may_be_of_one_row() => {
                tracing::debug!(%error, rows = part.count(), "not written together; each half is tried alone");
                let second = part.split();
                parts.extend([second, part]);
            }
            outcome => done(part, outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::DbErr;

    use super::*;

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

    #[test]
    fn both_parts_hold_something() {
        let mut map: BTreeMap<i64, ()> = (0..5).map(|id| (id, ())).collect();
        let second = map.split();
        assert_eq!((map.len(), second.len()), (2, 3));
    }
}
