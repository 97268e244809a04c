//! Conversion of settings from and to text.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A type of settings.
pub(super) trait ConfigValue: Sized {
    /// Placeholder of the value in help texts.
    const VALUE_NAME: &str = "VALUE";
    /// Whether the flag can be given without a value.
    const IS_SWITCH: bool = false;
    /// Whether the value appears in no listing.
    const IS_SECRET: bool = false;
    /// Errors say what is expected; the caller names the key.
    fn read(text: &str) -> Result<Self, String>;
    /// Text that `read` turns into this value; empty for secrets.
    fn show(&self) -> String;
    /// The value as operators may see it: [`HIDDEN`] for a secret that is set, addresses without passwords.
    fn shown(&self) -> String {
        without_password(&self.show())
    }
}

/// Stands for what is not shown.
pub const HIDDEN: &str = "********";

/// A list of addresses without what stands before an `@` in them, if that may hold a password.
pub fn without_password(text: &str) -> String {
    let address = |address: &str| {
        let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
        match rest.rsplit_once('@') {
            Some((_, host)) if !scheme.is_empty() => format!("{scheme}://{HIDDEN}@{host}"),
            Some((user, host)) if user.contains(':') => format!("{HIDDEN}@{host}"),
            _ => address.to_owned(),
        }
    };
    text.split(',').map(address).collect::<Vec<_>>().join(",")
}

/// Declares a setting that is one of several words: one line per word.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$doc])* $variant, )*
        }

        impl $crate::config::value::ConfigValue for $name {
            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    _ => Err($crate::config::value::expects_one_of(&[$($word),*])),
                }
            }
            fn show(&self) -> String {
                match self {
                    $( Self::$variant => $word, )*
                }
                .to_owned()
            }
        }
    };
}
pub(super) use words;

/// Tells the words a setting may have.
pub(super) fn expects_one_of(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("expects {} or {last}", first.join(", ")),
        _ => format!("expects {}", words.concat()),
    }
}

impl ConfigValue for String {
    const VALUE_NAME: &str = "TEXT";
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl ConfigValue for PathBuf {
    const VALUE_NAME: &str = "PATH";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expects a path".to_owned()) } else { Ok(Self::from(text)) }
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl ConfigValue for Option<PathBuf> {
    const VALUE_NAME: &str = "PATH";
    fn read(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }
    fn show(&self) -> String {
        self.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }
}

impl ConfigValue for bool {
    const VALUE_NAME: &str = "BOOL";
    const IS_SWITCH: bool = true;
    fn read(text: &str) -> Result<Self, String> {
        match text {
            // As Go spells them: operators' files are written for programs in Go.
            "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
            _ => Err("expects true or false".to_owned()),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {$(
        impl ConfigValue for $type {
            const VALUE_NAME: &str = "NUMBER";
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("expects a whole number from {} to {}", <$type>::MIN, <$type>::MAX))
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_numbers!(u8, u16, u32, u64, usize);

impl ConfigValue for Vec<String> {
    const VALUE_NAME: &str = "LIST";
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }
    fn show(&self) -> String {
        self.join(",")
    }
}

/// Durations in Go syntax, such as `90s`, `1h30m`, `1.5h` or `250ms`, and days, such as `5d`.
impl ConfigValue for Duration {
    const VALUE_NAME: &str = "DURATION";
    fn read(text: &str) -> Result<Self, String> {
        let expected = || "expects a duration such as 90s, 1h30m, 250ms or 5d".to_owned();
        let is_amount = |c: char| c.is_ascii_digit() || c == '.';
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        let mut total = Self::ZERO;
        if rest == "0" {
            return Ok(total);
        }
        if rest.is_empty() {
            return Err(expected());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !is_amount(c)).ok_or_else(expected)?;
            let (amount, after) = rest.split_at(digits);
            let (unit, after) = after.split_at(after.find(is_amount).unwrap_or(after.len()));
            rest = after;
            let secs = match unit {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return Err(expected()),
            };
            let amount: f64 = amount.parse().map_err(|_| expected())?;
            let part = Self::try_from_secs_f64(amount * secs).map_err(|_| expected())?;
            total = total.checked_add(part).ok_or_else(expected)?;
        }
        Ok(total)
    }
    fn show(&self) -> String {
        let millis = self.as_millis();
        for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if millis > 0 && millis.is_multiple_of(size) {
                return format!("{}{unit}", millis / size);
            }
        }
        if millis == 0 { "0".to_owned() } else { format!("{millis}ms") }
    }
}

/// A size in bytes, written as a number or as `64KiB`, `16MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

impl Bytes {
    pub const fn kib(n: usize) -> Self {
        Self(n * 1024)
    }
    pub const fn mib(n: usize) -> Self {
        Self(n * 1024 * 1024)
    }
}

impl ConfigValue for Bytes {
    const VALUE_NAME: &str = "SIZE";
    fn read(text: &str) -> Result<Self, String> {
        let expected = || "expects a size such as 65536, 64KiB, 16MiB or 2GiB".to_owned();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let amount: usize = text[..digits].parse().map_err(|_| expected())?;
        let unit = match text[digits..].trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(expected()),
        };
        amount.checked_mul(unit).map(Self).ok_or_else(expected)
    }
    fn show(&self) -> String {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 > 0 && self.0.trailing_zeros() >= shift {
                return format!("{}{unit}", self.0 >> shift);
            }
        }
        self.0.to_string()
    }
}

/// Text that is hidden from `Debug` and from listings of settings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// Reads a secret from a file; line ends at the end of the file are left out.
    ///
    /// # Errors
    /// If the file cannot be read or is empty.
    pub fn read_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match text.trim_end_matches(['\n', '\r']) {
            "" => Err(format!("{} is empty; write the password into it", path.display())),
            secret => Ok(Self::new(secret)),
        }
    }
    /// The secret text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl ConfigValue for Secret {
    const VALUE_NAME: &str = "SECRET";
    const IS_SECRET: bool = true;
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }
    /// Always empty, because the text appears in listings. Secrets are empty by default, so defaults read back.
    fn show(&self) -> String {
        String::new()
    }
    fn shown(&self) -> String {
        if self.0.is_empty() { String::new() } else { HIDDEN.to_owned() }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(empty)" } else { "Secret(********)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        assert_eq!(Duration::read("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(Duration::read("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(Duration::read("5d"), Ok(Duration::from_secs(432_000)));
        assert_eq!(Duration::read("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(Duration::read("24h0m0s"), Ok(Duration::from_secs(86_400)));
        assert_eq!(Duration::read("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(Duration::read("+.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(Duration::read("1.s100ns"), Ok(Duration::new(1, 100)));
        for bad in ["", "5", "h", "1x", "-1s", "1..5h", ".s", "+", "++1s", "1h.", "99999999999999999999d"] {
            assert!(Duration::read(bad).is_err(), "{bad} should be refused");
        }
        assert_eq!(Duration::from_secs(90).show(), "90s");
    }

    #[test]
    fn booleans_read_as_go_writes_them() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(bool::read(text), Ok(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(bool::read(text), Ok(false), "{text}");
        }
        for bad in ["", "yes", "on", "tRUE", "2"] {
            assert!(bool::read(bad).is_err(), "{bad} should be refused");
        }
    }

    #[test]
    fn sizes_read_and_show() {
        for text in ["512", "64KiB", "16MiB", "2GiB"] {
            assert_eq!(Bytes::read(text).map(|bytes| bytes.show()), Ok(text.to_owned()));
        }
        assert!(Bytes::read("12 apples").is_err());
        assert!(Bytes::read("99999999999999999999GiB").is_err());
    }

    #[test]
    fn secrets_do_not_print() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
        assert_eq!(Secret::new("hunter2").shown(), HIDDEN);
        assert_eq!(Secret::default().shown(), "");
    }

    #[test]
    fn addresses_are_shown_without_passwords() {
        for (given, shown) in [
            ("redis:6379,other:6379", "redis:6379,other:6379"),
            ("redis://user:hunter2@redis:6379", "redis://********@redis:6379"),
            ("one:1,redis://:hunter@2@redis:6379", "one:1,redis://********@redis:6379"),
            ("user:hunter2@db", "********@db"),
            ("admin@example.com", "admin@example.com"),
        ] {
            assert_eq!(without_password(given), shown);
        }
    }
}
