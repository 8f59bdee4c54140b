//! Reading what other programs and people write: a null means that nothing was said.

use serde::{Deserialize, Deserializer};

/// For `deserialize_with`: null reads as the default.
pub fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
