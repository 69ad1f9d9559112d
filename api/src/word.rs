//! Words that stand in JSON for a choice among known kinds: one table for the enum, both directions
//! and the schema.

/// A word that is not one of those that the interface knows.
#[derive(Debug)]
pub struct UnknownWord(String);

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnknownWord {}

pub(crate) fn unknown(text: &str, known: &[&str]) -> UnknownWord {
    UnknownWord(format!("`{text}` is not one of {}", known.join(", ")))
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident {
        $($(#[$doc:meta])* $variant:ident = $word:tt),+ $(,)?
    }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
            serde::Serialize, serde::Deserialize, utoipa::ToSchema,
        )]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every one of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::word::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => {
                        let known: Vec<_> = Self::ALL.iter().map(|w| w.as_str()).collect();
                        Err($crate::word::unknown(other, &known))
                    }
                }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::device::Standing;
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    #[test]
    fn the_description_names_the_words_that_stand_in_json() {
        let words: Vec<_> = Standing::ALL.iter().map(|word| json!(word)).collect();
        let schema = serde_json::to_value(Standing::schema()).unwrap_or_default();

        assert_eq!(schema.get("enum"), Some(&Value::from(words)));
    }
}
