use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::redis::{PushInfo, PushKind, RedisResult, Value, cmd};
use bytes::Bytes;
use prometheus::IntCounterVec;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connect::master;
use super::link::{Link, Purpose};
use super::script::Call;
use super::server_connection::ServerConnection;
use super::settings::{RedisServer, RedisSettings};
use crate::bus::{BusFuture, ChangeEvent, ChangeEvents, LocalNotifier, MAX_MESSAGE, NodeMessages, Notifier};
use crate::lock::lock;

/// Events published within this time go out in one message.
const GAP: Duration = Duration::from_millis(20);

/// How often the subscription is tested, and Redis itself while there is nothing to publish.
const TEST: Duration = Duration::from_secs(5);

/// Pause between attempts to subscribe: the first and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Change events and messages over Redis, published on a channel each and received on one connection of each node that
/// does nothing else. Nodes of versions without messages do not subscribe to their channel.
///
/// Events that come fast are published together, each once. What cannot be published is dropped. After its connection
/// was made anew, a node receives [`ChangeEvent::Missed`] and reads everything again. What a node is to hear of its own
/// events it hears at once, also while Redis is away, and never a second time over Redis: each message names its node.
#[derive(Debug)]
pub struct RedisNotifier {
    here: LocalNotifier,
    waiting: Arc<Waiting>,
    link: Arc<Link>,
    channels: Channels,
    _tasks: JoinSet<()>,
}

/// The names of the channels of one database.
#[derive(Debug, Clone)]
struct Channels {
    events: String,
    messages: String,
}

/// Events still to be published, each once.
#[derive(Debug, Default)]
struct Waiting {
    events: Mutex<BTreeSet<ChangeEvent>>,
    news: Notify,
}

impl RedisNotifier {
    /// `notifications` counts events by their outcome.
    pub(super) fn new(link: Arc<Link>, node: &str, notifications: IntCounterVec) -> Self {
        let (here, waiting) = (LocalNotifier::default(), Arc::<Waiting>::default());
        let database = link.settings().database();
        let channels =
            Channels { events: format!("muster:bells:{database}"), messages: format!("muster:messages:{database}") };
        let mut tasks = JoinSet::new();
        let (runtime, settings) = (link.runtime().clone(), Arc::clone(link.settings()));
        let (own_link, events) = (Arc::clone(&link), channels.events.clone());
        let publishing = publish(own_link, Arc::clone(&waiting), events, node.to_owned(), notifications.clone());
        tasks.spawn_on(publishing, &runtime);
        let (node, here_too, channels_too) = (node.to_owned(), here.clone(), channels.clone());
        let listener = Listener { settings, channels: channels_too, node, here: here_too, notifications };
        tasks.spawn_on(listener.run(), &runtime);
        Self { here, waiting, link, channels, _tasks: tasks }
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

    fn send(&self, message: Bytes) -> BusFuture<'_, ()> {
        Box::pin(async move {
            let mut publish = cmd("PUBLISH");
            publish.arg(&self.channels.messages).arg(&message[..]);
            self.link.call::<i64>(Purpose::Notify, "publish", 0, Call::Command(&publish)).await.map(drop)
        })
    }

    fn messages(&self) -> NodeMessages {
        self.here.messages()
    }
}

/// Publishes waiting events for ever. What cannot be published is dropped: nodes that were cut off read everything
/// again once they are back.
async fn publish(link: Arc<Link>, waiting: Arc<Waiting>, channel: String, node: String, notifications: IntCounterVec) {
    let mut pause = Duration::ZERO;
    loop {
        // The ping at the start and in quiet times shows operators whether Redis answers. The link keeps the outcome.
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
    channels: Channels,
    node: String,
    here: LocalNotifier,
    notifications: IntCounterVec,
}

impl Listener {
    async fn run(self) {
        let mut pause = BACK_OFF.0;
        let mut has_failed = false;
        // In a Redis cluster any Redis node will do: it passes on what is published at the others.
        for attempt in 0.. {
            match self.subscribe(attempt).await {
                Ok((connection, pushes)) => {
                    if std::mem::take(&mut has_failed) {
                        tracing::info!("notifications of other nodes arrive again");
                    }
                    pause = BACK_OFF.0;
                    self.notifications.with_label_values(&["missed"]).inc();
                    self.here.deliver(ChangeEvent::Missed);
                    self.receive(connection, pushes).await;
                }
                Err(error) if !has_failed => {
                    has_failed = true;
                    tracing::warn!(%error, redis = self.settings.name(), "cannot subscribe to notifications of other nodes");
                }
                Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    async fn subscribe(&self, attempt: usize) -> RedisResult<(ServerConnection, mpsc::UnboundedReceiver<PushInfo>)> {
        let node: RedisServer = match self.settings.nodes.get(attempt % self.settings.nodes.len().max(1)) {
            Some(node) => node.clone(),
            None => master(&self.settings).await?,
        };
        let (sender, pushes) = mpsc::unbounded_channel();
        let mut connection = self.settings.connect_subscriber(&node, sender).await?;
        connection.subscribe(&self.channels.events).await?;
        // The user may have been given the first channel alone, in the time of a version that had no other.
        if let Err(error) = connection.subscribe(&self.channels.messages).await {
            let channel = &self.channels.messages;
            tracing::warn!(%error, channel, "cannot subscribe to messages of other nodes; they go through the database");
        }
        Ok((connection, pushes))
    }

    /// Delivers messages until the subscription ends.
    async fn receive(&self, mut connection: ServerConnection, mut pushes: mpsc::UnboundedReceiver<PushInfo>) {
        loop {
            match timeout(TEST, pushes.recv()).await {
                Ok(Some(push)) if push.kind == PushKind::Message => self.deliver(&push),
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

    /// Delivers a message, or events unless this node has published them.
    fn deliver(&self, push: &PushInfo) {
        let [Value::BulkString(channel), Value::BulkString(message)] = &push.data[..] else { return };
        if channel == self.channels.messages.as_bytes() {
            if message.len() > MAX_MESSAGE {
                self.notifications.with_label_values(&["refused"]).inc();
                return;
            }
            self.here.deliver_message(message.clone().into());
            return;
        }
        let message = String::from_utf8_lossy(message);
        let mut lines = message.lines();
        if lines.next() == Some(&self.node) {
            return;
        }
        for line in lines {
            self.notifications.with_label_values(&["heard"]).inc();
            self.here.deliver(ChangeEvent::from_text(line));
        }
    }
}
