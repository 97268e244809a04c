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
use super::settings::{Node, Settings};
use crate::bus::{Bell, Bells, Doorbell, LocalDoorbell};
use crate::lock::lock;

/// Bells are rung together when they come faster than this.
const GAP: Duration = Duration::from_millis(20);

/// The subscription is tested so often, and so is whether Redis answers when nobody needs it.
const TEST: Duration = Duration::from_secs(5);

/// Between attempts to subscribe: the first and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Bells over Redis: published by whoever rings, and heard on one connection of each replica that does nothing else.
/// The replica that rings hears its own bells at once, also when Redis is away; others hear [`Bell::Missed`] when
/// they are back.
#[derive(Debug)]
pub struct RedisDoorbell {
    here: LocalDoorbell,
    waiting: Arc<Waiting>,
    _tasks: JoinSet<()>,
}

/// Bells that are still to be published, each once.
#[derive(Debug, Default)]
struct Waiting {
    bells: Mutex<BTreeSet<Bell>>,
    news: Notify,
}

impl RedisDoorbell {
    /// `rung` counts bells by what became of them.
    pub(super) fn new(link: Arc<Link>, replica: &str, rung: IntCounterVec) -> Self {
        let (here, waiting) = (LocalDoorbell::default(), Arc::<Waiting>::default());
        let channel = format!("muster:bells:{}", link.settings().database());
        let mut tasks = JoinSet::new();
        let (runtime, settings) = (link.runtime().clone(), Arc::clone(link.settings()));
        let publishing = publish(link, Arc::clone(&waiting), channel.clone(), replica.to_owned(), rung.clone());
        tasks.spawn_on(publishing, &runtime);
        let listener = Listener { settings, channel, replica: replica.to_owned(), here: here.clone(), rung };
        tasks.spawn_on(listener.run(), &runtime);
        Self { here, waiting, _tasks: tasks }
    }
}

impl Doorbell for RedisDoorbell {
    fn ring(&self, bell: Bell) {
        self.here.ring(bell);
        lock(&self.waiting.bells).insert(bell);
        self.waiting.news.notify_one();
    }

    fn listen(&self) -> Bells {
        self.here.listen()
    }
}

/// Publishes what is waiting. What cannot be published is dropped: who was away looks at everything when back.
async fn publish(link: Arc<Link>, waiting: Arc<Waiting>, channel: String, replica: String, rung: IntCounterVec) {
    let mut pause = Duration::ZERO;
    loop {
        // Whether Redis is there shows before anybody needs it, and when nobody does. The link keeps the outcome.
        while timeout(pause, waiting.news.notified()).await.is_err() {
            let _ = link.call::<Value>(Purpose::Bell, "ping", 0, Call::Command(&cmd("PING"))).await;
            pause = TEST;
        }
        let bells = std::mem::take(&mut *lock(&waiting.bells));
        let texts: Vec<String> = bells.iter().map(|bell| bell.to_text()).collect();
        let message = format!("{replica}\n{}", texts.join("\n"));
        let mut publish = cmd("PUBLISH");
        publish.arg(&channel).arg(&message);
        // The link tells operators when Redis is away.
        let outcome = match link.call::<i64>(Purpose::Bell, "publish", 0, Call::Command(&publish)).await {
            Ok(_) => "rung",
            Err(_) => "failed",
        };
        rung.with_label_values(&[outcome]).inc_by(bells.len() as u64);
        sleep(GAP).await;
    }
}

struct Listener {
    settings: Arc<Settings>,
    channel: String,
    replica: String,
    here: LocalDoorbell,
    rung: IntCounterVec,
}

impl Listener {
    async fn run(self) {
        let mut pause = BACK_OFF.0;
        let mut has_failed = false;
        // Of a cluster any node will do: it passes on what is published at the others.
        for turn in 0.. {
            match self.subscribe(turn).await {
                Ok((connection, pushes)) => {
                    if std::mem::take(&mut has_failed) {
                        tracing::info!("bells of other servers are heard again");
                    }
                    pause = BACK_OFF.0;
                    self.rung.with_label_values(&["missed"]).inc();
                    self.here.ring(Bell::Missed);
                    self.hear(connection, pushes).await;
                }
                Err(error) if !has_failed => {
                    has_failed = true;
                    tracing::warn!(%error, redis = self.settings.name(), "bells of other servers cannot be heard");
                }
                Err(_) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    async fn subscribe(&self, turn: usize) -> RedisResult<(MultiplexedConnection, mpsc::UnboundedReceiver<PushInfo>)> {
        let node: Node = match self.settings.nodes.get(turn % self.settings.nodes.len().max(1)) {
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
        if lines.next() == Some(&self.replica) {
            return;
        }
        for line in lines {
            self.rung.with_label_values(&["heard"]).inc();
            self.here.ring(Bell::from_text(line));
        }
    }
}
