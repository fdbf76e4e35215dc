//! A reader that hashes what passes through it, so that hashing and scanning are one pass.
//!
//! Not here: opening files or comparing digests. Memory is constant whatever the length.

use std::io::{self, Read};

use lumos_domain::id::Digest;
use sha2::Digest as _;

/// Passes bytes on, hashing and counting them.
pub struct HashingReader<R> {
    inner: R,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl<R: Read> HashingReader<R> {
    /// Starts with nothing hashed.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: sha2::Sha256::new(),
            bytes: 0,
        }
    }

    /// Reads whatever the scanner left unread, then gives the digest of everything and its length in bytes.
    ///
    /// # Errors
    /// When the inner reader fails.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        drain(&mut self)?;
        Ok((
            Digest::from_bytes(self.hasher.finalize().into()),
            self.bytes,
        ))
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..n).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(n as u64);
        Ok(n)
    }
}

/// Reads to the end in large pieces and gives the number of bytes that were left.
pub(crate) fn drain(reader: &mut dyn Read) -> io::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0_u64;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(n) => total = total.saturating_add(n as u64),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_what_was_read_and_what_was_left() {
        let mut reader = HashingReader::new(&b"abc"[..]);
        let mut one = [0];
        reader.read_exact(&mut one).unwrap();
        let (digest, bytes) = reader.finish().unwrap();
        assert_eq!((digest, bytes), (Digest::of(b"abc"), 3));
    }
}
