use schemars::JsonSchema;
use serde::Serialize;

use super::FieldError;

/// An object of the API: lists hold it under a plural key, other responses under a singular one.
pub trait Enveloped: Sized {
    type List: Serialize + JsonSchema;
    type One: Serialize + JsonSchema;

    fn list(objects: Vec<Self>) -> Self::List;
    /// With what is probably a mistake in the object; Fleet's clients read past it.
    fn one(self, warnings: Vec<FieldError>) -> Self::One;
}

/// Defines the two envelopes of an object.
macro_rules! enveloped {
    ($object:ident, $list:ident { $plural:ident }, $one:ident { $singular:ident }) => {
        #[doc = concat!("A list of `", stringify!($object), "`.")]
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct $list {
            pub $plural: Vec<$object>,
        }

        #[doc = concat!("One `", stringify!($object), "`.")]
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct $one {
            pub $singular: $object,
            /// Parts that are valid and probably a mistake.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub warnings: Vec<$crate::rest::FieldError>,
        }

        impl $crate::rest::Enveloped for $object {
            type List = $list;
            type One = $one;

            fn list($plural: Vec<Self>) -> $list {
                $list { $plural }
            }

            fn one(self, warnings: Vec<$crate::rest::FieldError>) -> $one {
                $one { $singular: self, warnings }
            }
        }
    };
}
pub(super) use enveloped;
