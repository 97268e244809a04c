use std::collections::HashSet;
use std::sync::Arc;

/// How many words there are before those that nobody holds are looked for.
const FIRST_SWEEP: usize = 1_024;

/// Words that many hosts share, such as platforms and versions, each kept once.
#[derive(Debug)]
pub(super) struct Words {
    known: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Default for Words {
    fn default() -> Self {
        Self { known: HashSet::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Words {
    /// The one copy of a word.
    pub fn shared(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.known.get(word) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|word| Arc::strong_count(word) > 1);
            self.sweep_at = FIRST_SWEEP.max(self.known.len() * 2);
        }
        let word: Arc<str> = word.into();
        self.known.insert(Arc::clone(&word));
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shared_and_those_that_nobody_holds_go() {
        let mut words = Words::default();
        let kept = words.shared("ubuntu");
        assert!(Arc::ptr_eq(&kept, &words.shared("ubuntu")));
        (0..5 * FIRST_SWEEP).for_each(|n| drop(words.shared(&format!("build {n}"))));
        assert!(words.known.len() <= FIRST_SWEEP, "{}", words.known.len());
        assert!(Arc::ptr_eq(&kept, &words.shared("ubuntu")));
    }
}
