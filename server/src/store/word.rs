//! Words in columns: a fixed set in this version, and perhaps others of newer or older nodes on the same database.

/// A word this version does not know, as it stands in the column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnknownWord(Box<str>);

impl UnknownWord {
    pub(super) fn new(word: &str) -> Self {
        Self(word.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Declares the enum of a column: one line per word. Reading never fails: a word that is not listed becomes `Unknown`, and
/// is written back as it was. Match exhaustively, so that the compiler finds all code a new word concerns.
macro_rules! stored_words {
    ($(#[$meta:meta])* $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, sea_orm::DeriveValueType)]
        #[sea_orm(value_type = "String")]
        pub enum $name {
            $( $(#[$doc])* $variant, )*
            /// A word of another version.
            Unknown($crate::store::UnknownWord),
        }

        impl $name {
            /// The word as it is stored.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $word, )*
                    Self::Unknown(word) => word.as_str(),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::convert::Infallible;

            fn from_str(word: &str) -> std::result::Result<Self, Self::Err> {
                Ok(match word {
                    $( $word => Self::$variant, )*
                    other => Self::Unknown($crate::store::UnknownWord::new(other)),
                })
            }
        }
    };
}

pub(in crate::store) use stored_words;
