//! States. Each has a colour, a shape and a word.

use maud::{Markup, html};
use muster_api::rest::HostStatus;

/// What a state means for whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin::pages) enum Tone {
    Good,
    Attention,
    Bad,
    Unknown,
}

impl Tone {
    pub(in crate::admin::pages) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Attention => "attention",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }

    /// The shape, in a square of 12: a disc, a triangle, a square on its corner, a ring.
    fn shape(self) -> Markup {
        html! {
            svg.shape viewBox="0 0 12 12" aria-hidden="true" {
                @match self {
                    Self::Good => circle cx="6" cy="6" r="4.5" {},
                    Self::Attention => path d="M6 1 11.5 11H.5z" {},
                    Self::Bad => path d="M6 .5 11.5 6 6 11.5.5 6z" {},
                    Self::Unknown => circle.ring cx="6" cy="6" r="4" {},
                }
            }
        }
    }
}

/// A state and its word.
pub(in crate::admin::pages) fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (tone.shape()) (word) } }
}

/// Whether a host is online.
pub(in crate::admin::pages) fn status_badge(status: HostStatus) -> Markup {
    match status {
        HostStatus::Online => badge(Tone::Good, "Online"),
        HostStatus::Offline => badge(Tone::Unknown, "Offline"),
    }
}
