//! Pictures beside words: a few of Lucide's (ISC licence, Lucide contributors), as lines in a square of 24.

use maud::{Markup, PreEscaped, html};

/// A picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin::pages) enum Icon {
    Overview,
    Hosts,
    Queries,
    Packs,
    Rollouts,
    Labels,
    Live,
    Watchdog,
    Activity,
    Users,
    Settings,
    About,
    Search,
    Menu,
    LogOut,
    Download,
}

impl Icon {
    fn lines(self) -> &'static str {
        match self {
            Self::Overview => {
                r#"<rect width="7" height="9" x="3" y="3" rx="1"/><rect width="7" height="5" x="14" y="3" rx="1"/><rect width="7" height="9" x="14" y="12" rx="1"/><rect width="7" height="5" x="3" y="16" rx="1"/>"#
            }
            Self::Hosts => r#"<rect width="20" height="14" x="2" y="3" rx="2"/><path d="M8 21h8M12 17v4"/>"#,
            Self::Queries => r#"<path d="M12 20v-6M6 20v-2M18 20V8M3 3v18h18"/>"#,
            Self::Packs => r#"<path d="m3 8 9-5 9 5v8l-9 5-9-5zM3 8l9 5 9-5M12 13v8"/>"#,
            Self::Rollouts => r#"<path d="M4 20h4v-4H4zM10 20h4v-9h-4zM16 20h4V4h-4z"/>"#,
            Self::Labels => {
                r#"<path d="M12.6 2.6A2 2 0 0 0 11.2 2H4a2 2 0 0 0-2 2v7.2c0 .5.2 1 .6 1.4l8.7 8.7a2.4 2.4 0 0 0 3.4 0l6.6-6.6a2.4 2.4 0 0 0 0-3.4z"/><circle cx="7.5" cy="7.5" r=".5"/>"#
            }
            Self::Live => r#"<path d="m4 17 6-6-6-6M12 19h8"/>"#,
            Self::Watchdog => {
                r#"<path d="M20 13c0 5-3.5 7.5-7.7 8.9a1 1 0 0 1-.6 0C7.5 20.5 4 18 4 13V6a1 1 0 0 1 1-1c2 0 4.5-1.2 6.2-2.7a1.2 1.2 0 0 1 1.5 0C14.5 3.800 17 5 19 5a1 1 0 0 1 1 1zM12 8v4M12 16h.01"/>"#
            }
            Self::Activity => r#"<path d="M3 12a9 9 0 1 0 9-9 9.8 9.8 0 0 0-6.7 2.7L3 8M3 3v5h5M12 7v5l4 2"/>"#,
            Self::Users => {
                r#"<path d="M16 21v-2a4 4 0 0 0-4-4H6a4 4 0 0 0-4 4v2M22 21v-2a4 4 0 0 0-3-3.9M16 3.1a4 4 0 0 1 0 7.8"/><circle cx="9" cy="7" r="4"/>"#
            }
            Self::Settings => r#"<path d="M21 4h-7M10 4H3M21 12h-9M8 12H3M21 20h-5M12 20H3M14 2v4M8 10v4M16 18v4"/>"#,
            Self::About => r#"<circle cx="12" cy="12" r="10"/><path d="M12 16v-4M12 8h.01"/>"#,
            Self::Search => r#"<circle cx="11" cy="11" r="8"/><path d="m21 21-4.3-4.3"/>"#,
            Self::Menu => r#"<path d="M4 6h16M4 12h16M4 18h16"/>"#,
            Self::LogOut => r#"<path d="M9 21H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2h4M16 17l5-5-5-5M21 12H9"/>"#,
            Self::Download => r#"<path d="M21 15v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-4M7 10l5 5 5-5M12 15V3"/>"#,
        }
    }
}

/// A picture, always with a word beside it.
pub(in crate::admin::pages) fn icon(icon: Icon) -> Markup {
    html! { svg.icon viewBox="0 0 24 24" aria-hidden="true" { (PreEscaped(icon.lines())) } }
}
