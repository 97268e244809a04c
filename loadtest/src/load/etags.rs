//! Answers to agents that sent an etag with their request for a config.

/// The answer to such an agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConfigAnswer<'a> {
    /// The config it has is still the one.
    Unchanged,
    /// A config, and the etag to send from then on; the member stands first, as the server writes it.
    Whole { etag: &'a str, config: Vec<u8> },
    /// An answer without an etag, whatever it is.
    Bare,
}

pub(super) fn read(body: &[u8]) -> ConfigAnswer<'_> {
    let after = std::str::from_utf8(body).ok().and_then(|text| text.strip_prefix(r#"{"etag":""#));
    match after.and_then(|text| text.split_once('"')) {
        Some(("ok", "}")) => ConfigAnswer::Unchanged,
        Some((etag, rest)) => {
            let members = rest.strip_prefix(',').unwrap_or(rest);
            ConfigAnswer::Whole { etag, config: [b"{", members.as_bytes()].concat() }
        }
        None => ConfigAnswer::Bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_no_part_of_configs() {
        let whole = |config: &str| ConfigAnswer::Whole { etag: "a-1", config: config.as_bytes().to_vec() };
        assert_eq!(read(br#"{"etag":"ok"}"#), ConfigAnswer::Unchanged);
        assert_eq!(read(br#"{"etag":"a-1","options":{}}"#), whole(r#"{"options":{}}"#));
        assert_eq!(read(br#"{"etag":"a-1"}"#), whole("{}"));
        assert_eq!(read(br#"{"options":{}}"#), ConfigAnswer::Bare);
        assert_eq!(read(br#"{"node_invalid":true}"#), ConfigAnswer::Bare);
    }
}
