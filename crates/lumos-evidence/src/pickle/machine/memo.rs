//! The memo: dense for the indices that pickles really use, sparse and bounded for the others.
//!
//! Not here: what a value is.

use std::collections::HashMap;

use super::{Halt, Value};

/// With eight bytes an entry, 128 MiB.
const MEMO_MAX: usize = 16 << 20;
const SPARSE_MAX: usize = 1 << 16;

#[derive(Default)]
pub(super) struct Memo {
    dense: Vec<Option<Value>>,
    sparse: HashMap<u64, Value>,
    /// How many entries there are: the index that `MEMOIZE` writes.
    pub(super) used: u64,
}

impl Memo {
    pub(super) fn put(&mut self, index: u64, value: Value) -> Result<(), Halt> {
        let dense = usize::try_from(index)
            .ok()
            .filter(|i| *i < (self.dense.len() + 4096).min(MEMO_MAX));
        let old = if let Some(i) = dense {
            if i >= self.dense.len() {
                self.dense.resize(i + 1, None);
            }
            self.dense[i].replace(value)
        } else if self.sparse.len() < SPARSE_MAX {
            self.sparse.insert(index, value)
        } else {
            return Err(Halt::Bound("more memo entries than the scanner keeps"));
        };
        self.used += u64::from(old.is_none());
        Ok(())
    }

    pub(super) fn get(&self, index: u64) -> Result<Value, Halt> {
        usize::try_from(index)
            .ok()
            .and_then(|i| self.dense.get(i).copied().flatten())
            .or_else(|| self.sparse.get(&index).copied())
            .ok_or(Halt::Malformed(
                "a memo entry is read that was never written",
            ))
    }
}
