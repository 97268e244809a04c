//! Messages between nodes.

use std::time::Duration;

use bytes::Bytes;

use super::{SOON, eventually, hears, share};
use crate::bus::{ChangeEvent, MAX_MESSAGE, NodeMessages, Notifier as _};
use crate::redis_processes::RedisProcess;

async fn next(messages: &mut NodeMessages) -> Bytes {
    tokio::time::timeout(SOON, messages.next()).await.expect("a message is heard")
}

#[tokio::test]
async fn messages_reach_every_node_beside_change_events() {
    let mut redis = RedisProcess::start().await;
    let (one, other) = (share(&redis.settings()), share(&redis.settings()));
    let mut events = other.notifier.subscribe();
    let mut messages = [one.notifier.messages(), other.notifier.messages()];
    for heard in &mut messages {
        // There may be no subscription yet.
        eventually("a message is heard", async || {
            one.notifier.send(Bytes::from_static(b"first")).await.unwrap();
            tokio::time::timeout(Duration::from_millis(100), heard.next()).await.ok()
        })
        .await;
    }
    one.notifier.send(vec![7; MAX_MESSAGE + 1].into()).await.unwrap();
    one.notifier.send(vec![7; MAX_MESSAGE].into()).await.unwrap();
    for heard in &mut messages {
        let mut message = next(heard).await;
        while message == "first" {
            message = next(heard).await;
        }
        assert_eq!(message.len(), MAX_MESSAGE, "a larger one is dropped");
    }
    one.notifier.publish(ChangeEvent::Hosts);
    hears(&mut events, ChangeEvent::Hosts).await;
    let of_messages = |event: &ChangeEvent| *event == ChangeEvent::Missed;
    assert!(!events.with_waiting(ChangeEvent::Hosts).iter().any(of_messages), "messages are no change events");

    redis.kill();
    assert!(one.notifier.send(Bytes::from_static(b"lost")).await.is_err());
}
