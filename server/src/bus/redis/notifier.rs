use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{PushInfo, PushKind, RedisResult, Value, cmd};
use prometheus::IntCounterVec;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connect::master;
use super::link::{Link, Purpose};
use super::script::Call;
use super::settings::{RedisServer, RedisSettings};
use crate::bus::{ChangeEvent, ChangeEvents, LocalNotifier, Notifier};
use crate::lock::lock;

/// ChangeEvents are notifications together when they come faster than this.
const GAP: Duration = Duration::from_millis(20);

/// The subscription is tested so often, and so is whether Redis answers when nobody needs it.
const TEST: Duration = Duration::from_secs(5);

/// Between attempts to subscribe: the first and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Change events over Redis: published by whoever changes something, and received on one connection of each node that does nothing else.
/// The node that publishes receives its own events at once, also when Redis is away; others receive [`ChangeEvent::Missed`] when
/// they are back.
#[derive(Debug)]
pub struct RedisNotifier {
    here: LocalNotifier,
    waiting: Arc<Waiting>,
    _tasks: JoinSet<()>,
}

/// ChangeEvents that are still to be published, each once.
#[derive(Debug, Default)]
struct Waiting {
    events: Mutex<BTreeSet<ChangeEvent>>,
    news: Notify,
}

impl RedisNotifier {
    /// `notifications` counts notifications by what became of them.
    pub(super) fn new(link: Arc<Link>, node: &str, notifications: IntCounterVec) -> Self {
        let (here, waiting) = (LocalNotifier::default(), Arc::<Waiting>::default());
        let channel = format!("muster:bells:{}", link.settings().database());
        let mut tasks = JoinSet::new();
        let (runtime, settings) = (link.runtime().clone(), Arc::clone(link.settings()));
        let publishing = publish(link, Arc::clone(&waiting), channel.clone(), node.to_owned(), notifications.clone());
        tasks.spawn_on(publishing, &runtime);
        let listener = Listener { settings, channel, node: node.to_owned(), here: here.clone(), notifications };
        tasks.spawn_on(listener.run(), &runtime);
        Self { here, waiting, _tasks: tasks }
    }
}

impl Notifier for RedisNotifier {
    fn publish(&self, event: ChangeEvent) {
        self.here.publish(event);
        lock(&self.waiting.events).insert(event);
        self.waiting.news.notify_one();
    }

    fn subscribe(&self) -> ChangeEvents {
        self.here.subscribe()
    }
}

/// Publishes what is waiting. What cannot be published is dropped: who was away looks at everything when back.
async fn publish(link: Arc<Link>, waiting: Arc<Waiting>, channel: String, node: String, notifications: IntCounterVec) {
    let mut pause = Duration::ZERO;
    loop {
        // Whether Redis is there shows before anybody needs it, and when nobody does. The link keeps the outcome.
        while timeout(pause, waiting.news.notified()).await.is_err() {
            let _ = link.call::<Value>(Purpose::Notify, "ping", 0, Call::Command(&cmd("PING"))).await;
            pause = TEST;
        }
        let events = std::mem::take(&mut *lock(&waiting.events));
        let texts: Vec<String> = events.iter().map(|event| event.to_text()).collect();
        let message = format!("{node}\n{}", texts.join("\n"));
        let mut publish = cmd("PUBLISH");
        publish.arg(&channel).arg(&message);
        // The link tells operators when Redis is away.
        let outcome = match link.call::<i64>(Purpose::Notify, "publish", 0, Call::Command(&publish)).await {
            Ok(_) => "published",
            Err(_) => "failed",
        };
        notifications.with_label_values(&[outcome]).inc_by(events.len() as u64);
        sleep(GAP).await;
    }
}

struct Listener {
    settings: Arc<RedisSettings>,
    channel: String,
    node: String,
    here: LocalNotifier,
    notifications: IntCounterVec,
}

impl Listener {
    async fn run(self) {
        let mut pause = BACK_OFF.0;
        let mut has_failed = false;
        // Of a cluster any node will do: it passes on what is published at the others.
        for attempt in 0.. {
            match self.subscribe(attempt).await {
                Ok((connection, pushes)) => {
                    if std::mem::take(&mut has_failed) {
                        tracing::info!("notifications of other servers are heard again");
                    }
                    pause = BACK_OFF.0;
                    self.notifications.with_label_values(&["missed"]).inc();
                    self.here.publish(ChangeEvent::Missed);
                    self.hear(connection, pushes).await;
                }
                Err(error) if !has_failed => {
                    has_failed = true;
                    tracing::warn!(%error, redis = self.settings.name(), "notifications of other servers cannot be heard");
                }
                Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    async fn subscribe(
        &self,
        attempt: usize,
    ) -> RedisResult<(MultiplexedConnection, mpsc::UnboundedReceiver<PushInfo>)> {
        let node: RedisServer = match self.settings.nodes.get(attempt % self.settings.nodes.len().max(1)) {
            Some(node) => node.clone(),
            None => master(&self.settings).await?,
        };
        let (sender, pushes) = mpsc::unbounded_channel();
        let config = self.settings.connection_config(&node).set_push_sender(sender);
        let client = self.settings.subscriber(&node)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        connection.subscribe(&self.channel).await?;
        Ok((connection, pushes))
    }

    /// Returns when the subscription has ended.
    async fn hear(&self, mut connection: MultiplexedConnection, mut pushes: mpsc::UnboundedReceiver<PushInfo>) {
        loop {
            match timeout(TEST, pushes.recv()).await {
                Ok(Some(push)) if push.kind == PushKind::Message => self.heard(&push),
                Ok(Some(push)) if push.kind == PushKind::Disconnection => return,
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    let test = cmd("PING");
                    let answer = test.query_async::<Value>(&mut connection);
                    if !matches!(timeout(self.settings.command_timeout, answer).await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    fn heard(&self, push: &PushInfo) {
        let Some(Value::BulkString(message)) = push.data.get(1) else { return };
        let message = String::from_utf8_lossy(message);
        let mut lines = message.lines();
        if lines.next() == Some(&self.node) {
            return;
        }
        for line in lines {
            self.notifications.with_label_values(&["heard"]).inc();
            self.here.publish(ChangeEvent::from_text(line));
        }
    }
}
