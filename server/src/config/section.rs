//! A macro that declares a section from one line per key: type, default and help.

/// Description of a key for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigKey {
    pub section: &'static str,
    pub name: &'static str,
    pub default: String,
    pub help: &'static str,
    /// Placeholder of the value in help texts.
    pub value_name: &'static str,
    pub is_switch: bool,
    /// Whether its value appears in no listing.
    pub is_secret: bool,
}

impl ConfigKey {
    /// `server.address`.
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `server_address`, the flag without its dashes.
    pub fn flag(&self) -> String {
        format!("{}_{}", self.section.replace('.', "_"), self.name)
    }

    /// `FLEET_SERVER_ADDRESS`.
    pub fn variable(&self) -> String {
        format!("FLEET_{}", self.flag().to_ascii_uppercase())
    }
}

macro_rules! section {
    (
        $(#[$meta:meta])*
        $section:literal $struct:ident {
            $( #[doc = $help:literal] $name:ident : $type:ty = $default:expr, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $struct {
            $( #[doc = $help] pub $name: $type, )*
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $( $name: $default, )* }
            }
        }

        impl $struct {
            pub(super) const NAME: &str = $section;

            pub(super) fn keys() -> Vec<$crate::config::ConfigKey> {
                use $crate::config::value::ConfigValue as _;
                let default = Self::default();
                vec![$( $crate::config::ConfigKey {
                    section: $section,
                    name: stringify!($name),
                    default: default.$name.show(),
                    help: $help.trim_ascii(),
                    value_name: <$type>::VALUE_NAME,
                    is_switch: <$type>::IS_SWITCH,
                    is_secret: <$type>::IS_SECRET,
                }, )*]
            }

            /// The value of each key in the order of the keys, as operators may see it.
            pub(super) fn shown(&self) -> Vec<String> {
                use $crate::config::value::ConfigValue as _;
                vec![$( self.$name.shown(), )*]
            }

            pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
                use $crate::config::value::ConfigValue as _;
                match name {
                    $( stringify!($name) => self.$name = <$type>::read(text)?, )*
                    _ => return Err("unknown key".to_owned()),
                }
                Ok(())
            }
        }
    };
}

pub(super) use section;
