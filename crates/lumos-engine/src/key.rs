//! The server's own secret: what is looked up by a keyed hash cannot be guessed from a copy of the database.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// 32 secret bytes that never leave the process.
pub struct ServerKey([u8; 32]);

impl ServerKey {
    /// The key from its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 of `parts` in hex; where a part ends is part of it.
    #[must_use]
    pub fn of(&self, parts: &[&str]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .expect("because HMAC takes a key of any length");
        for part in parts {
            mac.update(format!("{}:{part}", part.len()).as_bytes());
        }
        hex::encode(mac.finalize().into_bytes())
    }
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_key_and_on_where_parts_end() {
        let key = ServerKey::new([1; 32]);
        let hash = key.of(&["ab", "c"]);
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, key.of(&["ab", "c"]));
        assert_ne!(hash, key.of(&["a", "bc"]));
        assert_ne!(hash, ServerKey::new([2; 32]).of(&["ab", "c"]));
        assert_eq!(format!("{key:?}"), "ServerKey(…)");
    }
}
