use std::collections::VecDeque;
use std::time::Duration;

use actix_web::web::Bytes;
use actix_ws::{
    AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Closed, Item, MessageStream, Session,
};

use super::sock_js;

/// Longest message of a client.
const MAX_RECEIVED: usize = 64 * 1024;

/// Longer messages go out in parts of this size. Some tens of parts wait for the client at most, so this bounds what a
/// slow client can hold.
const PART: usize = 64 * 1024;

/// A client that takes nothing is not waited for longer than this at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How messages are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Plain,
    SockJs,
}

/// A client at the other end of a WebSocket.
pub(super) struct Socket {
    session: Session,
    incoming: AggregatedMessageStream,
    framing: Framing,
    received: VecDeque<String>,
}

impl Socket {
    pub(super) fn new(session: Session, incoming: MessageStream, framing: Framing) -> Self {
        let incoming =
            incoming.max_frame_size(MAX_RECEIVED).aggregate_continuations().max_continuation_size(MAX_RECEIVED);
        Self { session, incoming, framing, received: VecDeque::new() }
    }

    /// Says that it is open, to those who wait for that.
    pub(super) async fn open(&mut self) -> Result<(), Closed> {
        match self.framing {
            Framing::Plain => Ok(()),
            Framing::SockJs => self.session.text(sock_js::OPEN).await,
        }
    }

    /// The client's next message. `None` when it has gone or sends what no client would.
    pub(super) async fn receive(&mut self) -> Option<String> {
        loop {
            if let Some(message) = self.received.pop_front() {
                return Some(message);
            }
            match self.incoming.recv().await?.ok()? {
                AggregatedMessage::Text(text) => self.take(&text)?,
                AggregatedMessage::Binary(bytes) => self.take(std::str::from_utf8(&bytes).ok()?)?,
                AggregatedMessage::Ping(bytes) => self.session.pong(&bytes).await.ok()?,
                AggregatedMessage::Pong(_) => {}
                AggregatedMessage::Close(_) => return None,
            }
        }
    }

    fn take(&mut self, frame: &str) -> Option<()> {
        match self.framing {
            Framing::Plain => self.received.push_back(frame.to_owned()),
            Framing::SockJs => self.received.extend(sock_js::messages(frame)?),
        }
        Some(())
    }

    /// Sends a message, when the client has taken enough of what went before.
    pub(super) async fn send(&mut self, message: String) -> Result<(), Closed> {
        let frame = match self.framing {
            Framing::Plain => message,
            Framing::SockJs => sock_js::array(&message),
        };
        if frame.len() <= PART {
            return self.session.text(frame).await;
        }
        let mut rest = Bytes::from(frame);
        self.session.continuation(Item::FirstText(rest.split_to(PART))).await?;
        while rest.len() > PART {
            self.session.continuation(Item::Continue(rest.split_to(PART))).await?;
        }
        self.session.continuation(Item::Last(rest)).await
    }

    /// A sign of life.
    pub(super) async fn beat(&mut self) -> Result<(), Closed> {
        match self.framing {
            Framing::Plain => self.session.ping(b"").await,
            Framing::SockJs => self.session.text(sock_js::HEARTBEAT).await,
        }
    }

    /// Takes leave; the connection ends whether or not the client hears it.
    pub(super) async fn close(mut self, is_stopping: bool) {
        let (code, reason) = if is_stopping { (CloseCode::Away, "the server stops") } else { (CloseCode::Normal, "") };
        let said = async {
            if self.framing == Framing::SockJs {
                self.session.text(sock_js::close(code.into(), reason)).await?;
            }
            self.session.close(Some(CloseReason { code, description: Some(reason.to_owned()) })).await
        };
        // Whoever has gone or takes nothing need not hear it.
        let _ = tokio::time::timeout(CLOSE_WITHIN, said).await;
    }
}
