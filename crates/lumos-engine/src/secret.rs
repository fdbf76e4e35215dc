//! Ids, salts and secrets, drawn from the entropy port; free text sealed before it reaches a rule.

use lumos_domain::{
    id::{CommandId, ParseIdError},
    seal::{Sealed, SealedValue},
};

use crate::ports::Entropy;

/// A random id of 20 hex digits after `prefix`.
///
/// # Errors
/// Only when `prefix` is no beginning of a name.
pub fn id<T: std::str::FromStr<Err = ParseIdError>>(
    entropy: &dyn Entropy,
    prefix: &str,
) -> Result<T, ParseIdError> {
    let mut bytes = [0; 10];
    entropy.fill(&mut bytes);
    format!("{prefix}{}", hex::encode(bytes)).parse()
}

/// A fresh command id, for a caller that brought none.
///
/// # Errors
/// Never in practice.
pub fn command_id(entropy: &dyn Entropy) -> Result<CommandId, ParseIdError> {
    id(entropy, "c-")
}

/// The length of a [`secret`], in characters.
pub const SECRET_CHARS: usize = 64;

/// A secret of 32 random bytes, in hex.
#[must_use]
pub fn secret(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    hex::encode(bytes)
}

/// Collects the values behind sealed fields while a command is put together.
pub struct Sealer<'a> {
    entropy: &'a dyn Entropy,
    values: Vec<SealedValue>,
}

impl<'a> Sealer<'a> {
    /// A sealer that has sealed nothing yet.
    #[must_use]
    pub const fn new(entropy: &'a dyn Entropy) -> Self {
        Self {
            entropy,
            values: Vec::new(),
        }
    }

    /// Seals `text` under a fresh salt.
    pub fn seal(&mut self, text: &str) -> Sealed {
        let mut salt = [0; 32];
        self.entropy.fill(&mut salt);
        let value = SealedValue::new(salt, text.to_owned());
        let commitment = value.commitment;
        self.values.push(value);
        commitment
    }

    /// The values to hand to the door with the command.
    #[must_use]
    pub fn into_values(self) -> Vec<SealedValue> {
        self.values
    }
}
