use std::cell::{Cell, RefCell};
use std::ops::Deref;

use actix_web::HttpRequest;

/// A request of an agent, and its sender as far as that is known.
#[derive(Debug)]
pub(super) struct AgentRequest {
    http: HttpRequest,
    sender: RefCell<Option<Sender>>,
    bytes_read: Cell<u64>,
}

/// The sender of a request.
#[derive(Debug, Clone)]
pub(super) enum Sender {
    Host(i64),
    /// The name that an agent which enrolls gives itself.
    Claims(String),
}

impl AgentRequest {
    pub fn of(http: HttpRequest) -> Self {
        Self { http, sender: RefCell::default(), bytes_read: Cell::default() }
    }

    pub fn into_http(self) -> HttpRequest {
        self.http
    }

    /// Notes who sent the request, for the line about its refusal.
    pub fn is_from(&self, sender: Sender) {
        *self.sender.borrow_mut() = Some(sender);
    }

    pub fn sender(&self) -> Option<Sender> {
        self.sender.borrow().clone()
    }

    /// Counts bytes of the body that were read.
    pub fn has_read(&self, bytes: usize) {
        self.bytes_read.set(self.bytes_read.get() + bytes as u64);
    }

    /// The bytes of the body that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// Whether a node key has told already who sent the request.
    pub fn is_from_a_host(&self) -> bool {
        matches!(*self.sender.borrow(), Some(Sender::Host(_)))
    }
}

impl Deref for AgentRequest {
    type Target = HttpRequest;

    fn deref(&self) -> &HttpRequest {
        &self.http
    }
}
