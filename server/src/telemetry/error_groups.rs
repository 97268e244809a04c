//! Groups warnings and errors by the line of the code that logs them and by what they say.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Mutex;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::redact::redacted;
use crate::clock::{Clock, Moment};
use crate::lock::lock;

/// Most groups; the one that was seen least recently makes room for another.
const MAX_GROUPS: usize = 200;

/// Most texts of a group, and the longest in bytes.
const MAX_CHAIN: usize = 8;
const MAX_TEXT: usize = 1_000;

/// Fields that say what went wrong, in the order in which they are told.
const CAUSES: [&str; 4] = ["error", "reason", "why", "cause"];

static GROUPS: ErrorGroups = ErrorGroups(Mutex::new(None));

/// Warnings or errors that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorGroup {
    pub count: u64,
    pub first_seen: Moment,
    pub last_seen: Moment,
    pub level: Level,
    /// The module, and the line of its file.
    pub target: String,
    /// The message, what went wrong, and why that did.
    pub chain: Vec<String>,
}

/// Where an event is in the code, and its texts.
type GroupKey = (Identifier, Vec<String>);

#[derive(Debug)]
struct ErrorGroups(Mutex<Option<HashMap<GroupKey, ErrorGroup>>>);

/// The groups of this process, the latest first. `flush` empties them.
pub fn error_groups(flush: bool) -> Vec<ErrorGroup> {
    GROUPS.all(flush)
}

/// Hears of warnings and errors.
#[derive(Debug)]
pub(super) struct GroupErrors(pub Clock);

impl<S: Subscriber> Layer<S> for GroupErrors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            GROUPS.add(event, self.0.now());
        }
    }
}

impl ErrorGroups {
    fn add(&self, event: &Event<'_>, now: Moment) {
        let metadata = event.metadata();
        let mut texts = Texts::default();
        event.record(&mut texts);
        let chain = texts.chain();
        let mut groups = lock(&self.0);
        let groups = groups.get_or_insert_default();
        let key = (metadata.callsite(), chain);
        if let Some(group) = groups.get_mut(&key) {
            group.count += 1;
            group.last_seen = now;
            return;
        }
        if groups.len() >= MAX_GROUPS
            && let Some(oldest) = groups.iter().min_by_key(|(_, group)| group.last_seen).map(|(key, _)| key.clone())
        {
            groups.remove(&oldest);
        }
        let target = format!("{}:{}", metadata.target(), metadata.line().unwrap_or_default());
        let (level, chain) = (*metadata.level(), key.1.clone());
        groups.insert(key, ErrorGroup { count: 1, first_seen: now, last_seen: now, level, target, chain });
    }

    fn all(&self, flush: bool) -> Vec<ErrorGroup> {
        let mut groups = lock(&self.0);
        let mut all: Vec<_> = groups.iter().flatten().map(|(_, group)| group.clone()).collect();
        if flush {
            *groups = None;
        }
        all.sort_by_key(|group| Reverse((group.last_seen, group.count)));
        all
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Texts {
    message: String,
    /// By their positions in [`CAUSES`].
    causes: Vec<(usize, String)>,
}

impl Texts {
    fn take(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else if let Some(position) = CAUSES.iter().position(|cause| *cause == field.name()) {
            self.causes.push((position, text));
        }
    }

    fn chain(mut self) -> Vec<String> {
        self.causes.sort_by_key(|(position, _)| *position);
        let causes = self.causes.into_iter().map(|(_, text)| text);
        let bounded = |text: String| {
            let mut text = redacted(&text).into_owned();
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            text
        };
        std::iter::once(self.message).chain(causes).take(MAX_CHAIN).map(bounded).collect()
    }
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut cause = Some(error);
        for _ in 0..MAX_CHAIN {
            let Some(error) = cause else { return };
            self.take(field, error.to_string());
            cause = error.source();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::store;

    #[test]
    fn errors_are_grouped_by_place_and_text_with_their_causes() {
        let clock = Clock::manual(Moment(1_768_478_400_000_000));
        let start = clock.now();
        let subscriber = tracing_subscriber::registry().with(GroupErrors(clock.clone()));
        with_default(subscriber, || {
            let failed = |key: &str| {
                let cause = sea_orm::DbErr::Custom(format!("Duplicate entry '{key}' for key 'a'"));
                let error = store::Error::Db(cause);
                tracing::error!(error = &error as &dyn Error, request = 1, "a group of this test failed");
            };
            failed("planted-1");
            clock.advance(Duration::from_secs(5));
            failed("planted-2");
            tracing::warn!(reason = "full", "a group of this test was refused");
            tracing::info!("a group of this test is none");
        });
        let all = error_groups(true);
        let mut ours = all.iter().filter(|group| group.chain[0].starts_with("a group of this test"));
        let (one, other) = (ours.next().unwrap(), ours.next().unwrap());
        assert_eq!(ours.next(), None);
        let (failed, refused) = if one.count == 2 { (one, other) } else { (other, one) };
        let text = "Custom Error: Duplicate entry '********' for key 'a'";
        assert_eq!(failed.chain, ["a group of this test failed", "the database refused a statement", text]);
        let later = start.plus(Duration::from_secs(5));
        assert_eq!((failed.level, failed.first_seen, failed.last_seen), (Level::ERROR, start, later));
        assert_eq!((refused.count, &refused.chain[1..]), (1, &["full".to_owned()][..]));
        assert!(error_groups(false).iter().all(|group| !group.chain[0].starts_with("a group of this test")));
    }

    #[test]
    fn groups_are_bounded_and_the_oldest_make_room() {
        let clock = Clock::manual(Moment(1));
        let groups = std::sync::Arc::new(ErrorGroups(Mutex::new(None)));
        struct Into(std::sync::Arc<ErrorGroups>, Clock);
        impl<S: Subscriber> Layer<S> for Into {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                self.0.add(event, self.1.now());
            }
        }
        let subscriber = tracing_subscriber::registry().with(Into(groups.clone(), clock.clone()));
        with_default(subscriber, || {
            for number in 0..MAX_GROUPS + 50 {
                clock.advance(Duration::from_secs(1));
                tracing::warn!(why = number.to_string(), "refused");
            }
        });
        let all = groups.all(false);
        assert_eq!((all.len(), all[0].chain[1].as_str()), (MAX_GROUPS, "249"));
        assert_eq!(all[MAX_GROUPS - 1].chain[1], "50");
    }
}
