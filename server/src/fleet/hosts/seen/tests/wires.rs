//! A bus with faults.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::bus::{BusError, BusFuture, ChangeEvent, ChangeEvents, LocalNotifier, NodeMessages, Notifier};
use crate::lock::lock;

/// What happens between a node and the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Sending fails, and nothing is heard.
    CutOff,
    /// What is sent reaches nobody, without an error.
    Mute,
    /// Nothing is heard, without an error.
    Deaf,
}

/// The bus between the nodes of a test, with a fault for each.
#[derive(Debug, Default)]
pub struct Wires(pub Mutex<Vec<(Fault, LocalNotifier)>>);

#[derive(Debug)]
pub struct Wire {
    pub at: usize,
    pub here: LocalNotifier,
    pub wires: Arc<Wires>,
}

impl Notifier for Wire {
    fn publish(&self, event: ChangeEvent) {
        self.here.publish(event);
    }

    fn subscribe(&self) -> ChangeEvents {
        self.here.subscribe()
    }

    fn send(&self, message: Bytes) -> BusFuture<'_, ()> {
        let wires = lock(&self.wires.0);
        let sent = match wires[self.at].0 {
            Fault::CutOff => Err(BusError::Unavailable("cut off".to_owned())),
            Fault::Mute => Ok(()),
            Fault::None | Fault::Deaf => {
                let hearing = wires.iter().filter(|(fault, _)| matches!(fault, Fault::None | Fault::Mute));
                hearing.for_each(|(_, wire)| wire.deliver_message(message.clone()));
                Ok(())
            }
        };
        Box::pin(std::future::ready(sent))
    }

    fn messages(&self) -> NodeMessages {
        self.here.messages()
    }
}
