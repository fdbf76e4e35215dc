//! The bytes of a pickle through one fixed buffer: opcodes and small arguments are seen, payloads are skipped.
//!
//! Not here: what the bytes mean.

use std::io::{self, Read};

use super::machine::Halt;

const BUFFER_BYTES: usize = 64 * 1024;

pub(super) struct Input<'r> {
    reader: &'r mut dyn Read,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes that went through the buffer before `start`.
    passed: u64,
}

impl<'r> Input<'r> {
    pub(super) fn new(reader: &'r mut dyn Read) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            passed: 0,
        }
    }

    /// How many bytes were taken so far.
    pub(super) fn offset(&self) -> u64 {
        self.passed
    }

    fn taken(&mut self, n: usize) {
        self.start += n;
        self.passed += n as u64;
    }

    /// Makes at least `wanted` bytes (at most the buffer) visible unless the input ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end < wanted.min(BUFFER_BYTES) {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The next byte without taking it; `None` at the end.
    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.start == self.end {
            self.fill(1)?;
        }
        Ok(self.buffer[self.start..self.end].first().copied())
    }

    pub(super) fn byte(&mut self) -> Result<u8, Halt> {
        if self.start == self.end {
            self.fill(1)?;
            if self.start == self.end {
                return Err(Halt::TRUNCATED);
            }
        }
        let byte = self.buffer[self.start];
        self.taken(1);
        Ok(byte)
    }

    /// Exactly `n` bytes, at most the buffer.
    pub(super) fn take(&mut self, n: usize) -> Result<&[u8], Halt> {
        if self.end - self.start < n {
            self.fill(n)?;
            if self.end - self.start < n {
                return Err(Halt::TRUNCATED);
            }
        }
        self.taken(n);
        Ok(&self.buffer[self.start - n..self.start])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Halt> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// Takes `n` bytes without looking; a length the input does not have is a truncation, never an allocation.
    pub(super) fn skip(&mut self, n: u64) -> Result<(), Halt> {
        let mut left = n;
        loop {
            let here = self.end - self.start;
            let step = usize::try_from(left).map_or(here, |left| left.min(here));
            self.taken(step);
            left -= step as u64;
            if left == 0 {
                return Ok(());
            }
            self.fill(1)?;
            if self.start == self.end {
                return Err(Halt::TRUNCATED);
            }
        }
    }

    /// The bytes up to the next line feed, which is taken but not given. A longer line than the buffer is not one
    /// that `CPython` writes for any number or name, so it is skipped and given as `None`.
    pub(super) fn line(&mut self) -> Result<Option<&[u8]>, Halt> {
        if let Some(n) = self.visible_line() {
            self.taken(n + 1);
            return Ok(Some(&self.buffer[self.start - n - 1..self.start - 1]));
        }
        self.fill(BUFFER_BYTES)?;
        if let Some(n) = self.visible_line() {
            self.taken(n + 1);
            return Ok(Some(&self.buffer[self.start - n - 1..self.start - 1]));
        }
        loop {
            match self.visible_line() {
                Some(n) => {
                    self.taken(n + 1);
                    return Ok(None);
                }
                None if self.start == self.end => return Err(Halt::TRUNCATED),
                None => self.taken(self.end - self.start),
            }
            self.fill(1)?;
        }
    }

    fn visible_line(&self) -> Option<usize> {
        self.buffer[self.start..self.end]
            .iter()
            .position(|b| *b == b'\n')
    }
}
