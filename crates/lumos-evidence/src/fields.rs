//! Small typed reads over a stream that count what is left, for the binary formats.
//!
//! Not here: any format.

use std::io::{self, Read};

/// Reads fields and knows how many bytes were taken.
pub(crate) struct Fields<'r> {
    inner: &'r mut dyn Read,
    pub(crate) taken: u64,
}

impl<'r> Fields<'r> {
    pub(crate) fn new(inner: &'r mut dyn Read) -> Self {
        Self { inner, taken: 0 }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut out = [0; N];
        self.inner.read_exact(&mut out)?;
        self.taken += N as u64;
        Ok(out)
    }

    pub(crate) fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A protobuf varint; `None` when it is longer than ten bytes.
    pub(crate) fn varint(&mut self) -> io::Result<Option<u64>> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Passes over `n` bytes; fewer are an unexpected end.
    pub(crate) fn skip(&mut self, n: u64) -> io::Result<()> {
        let passed = crate::digest::drain(&mut (&mut *self.inner).take(n))?;
        self.taken = self.taken.saturating_add(passed);
        if passed < n {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }

    /// The first `keep` of `n` bytes as text; the rest is passed over.
    pub(crate) fn text(&mut self, n: u64, keep: u64) -> io::Result<String> {
        let mut bytes = Vec::new();
        let wanted = n.min(keep);
        (&mut *self.inner).take(wanted).read_to_end(&mut bytes)?;
        self.taken = self.taken.saturating_add(bytes.len() as u64);
        if (bytes.len() as u64) < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.skip(n - wanted)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
