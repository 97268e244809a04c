use schemars::JsonSchema;
use serde::Serialize;

/// An object of the API: lists hold it under a plural key, other responses under a singular one.
pub trait Enveloped: Sized {
    type List: Serialize + JsonSchema;
    type One: Serialize + JsonSchema;

    fn list(objects: Vec<Self>) -> Self::List;
    fn one(self) -> Self::One;
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
        }

        impl $crate::rest::Enveloped for $object {
            type List = $list;
            type One = $one;

            fn list($plural: Vec<Self>) -> $list {
                $list { $plural }
            }

            fn one(self) -> $one {
                $one { $singular: self }
            }
        }
    };
}
pub(super) use enveloped;
