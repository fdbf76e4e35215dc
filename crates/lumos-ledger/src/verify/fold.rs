//! Joining checked chunks, in order, into one tree with one root. Nothing is hashed twice here: entries
//! and level-0 tiles were checked before.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use super::{Chunk, Error, MAX_KEPT, Report, Run, Source, Verification, compare, gap};
use crate::tile::{Kind, WIDTH};
use crate::tree::{EMPTY_ROOT, Frontier, Hash, fold_right, root};

/// Joins checked chunks into the whole tree, and ends in the [`Report`].
#[derive(Debug)]
pub struct Fold<'v, 'a, S> {
    verification: &'v Verification<'a, S>,
    next: u64,
    report: Report,
    // Leaf hashes of the unfinished level-0 tile.
    edge: Vec<Hash>,
    // For tile levels 1, 2, …: tiles finished, and the hashes of the one that grows.
    levels: Vec<(u64, Vec<Hash>)>,
    streams: HashMap<Box<str>, u64>,
}

impl<'v, 'a, S: Source> Fold<'v, 'a, S> {
    pub(super) fn new(verification: &'v Verification<'a, S>) -> Self {
        let signatures = &verification.opened.signatures;
        let report = Report {
            checkpoint: verification.checkpoint().clone(),
            note: verification.opened.note.clone(),
            signatures: signatures.iter().map(|s| (s.key.clone(), s.time)).collect(),
            entries: 0,
            entry_bytes: 0,
            tiles: 0,
            streams: 0,
            continues: Vec::new(),
            kept: Vec::new(),
        };
        let (edge, levels) = (Vec::new(), Vec::new());
        Self {
            verification,
            next: 0,
            report,
            edge,
            levels,
            streams: HashMap::new(),
        }
    }

    /// Entries added so far.
    pub fn entries(&self) -> u64 {
        self.report.entries
    }

    /// Adds the next chunk.
    ///
    /// # Errors
    /// [`Error::Order`] when it is not the next; otherwise what does not agree with its neighbours.
    pub fn add(&mut self, chunk: Chunk) -> Result<(), Error> {
        if chunk.number != self.next {
            return Err(Error::Order {
                expected: self.next,
            });
        }
        self.next += 1;
        self.report.entries += chunk.entries;
        self.report.entry_bytes += chunk.entry_bytes;
        self.report.tiles += chunk.tiles;
        self.edge = chunk.edge;
        self.report.kept.extend(chunk.kept);
        if self.report.kept.len() > MAX_KEPT {
            return Err(Error::Kept);
        }
        for root in chunk.roots {
            self.push(root)?;
        }
        self.join_streams(chunk.streams)
    }

    /// Adds the root of a full level-0 tile, and of every full tile that this completes.
    fn push(&mut self, hash: Hash) -> Result<(), Error> {
        let mut hash = hash;
        for level in 1.. {
            if self.levels.len() < usize::from(level) {
                self.levels.push((0, Vec::with_capacity(WIDTH.into())));
            }
            let (finished, hashes) = &mut self.levels[usize::from(level) - 1];
            hashes.push(hash);
            if hashes.len() < usize::from(WIDTH) {
                break;
            }
            compare(
                self.verification.source,
                Kind::Hashes(level),
                *finished,
                hashes,
            )?;
            hash = root(hashes);
            *finished += 1;
            hashes.clear();
            self.report.tiles += 1;
        }
        Ok(())
    }

    fn join_streams(&mut self, runs: HashMap<Box<str>, Run>) -> Result<(), Error> {
        // The earliest gap is reported, whatever order the map has.
        let size = self.verification.checkpoint().size();
        let mut earliest: Option<(u64, Error)> = None;
        for (stream, run) in runs {
            let slot = self.streams.entry(stream);
            let last = match &slot {
                Slot::Occupied(slot) => *slot.get(),
                Slot::Vacant(_) => 0,
            };
            if run.first == last + 1 {
                slot.insert_entry(run.last);
            } else if earliest
                .as_ref()
                .is_none_or(|(index, _)| run.first_index < *index)
            {
                let error = gap(slot.key(), run.first_index, last, run.first, size);
                earliest = Some((run.first_index, error));
            }
        }
        earliest.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Compares the unfinished tiles and the root, then the earlier checkpoint.
    ///
    /// # Errors
    /// [`Error::Order`] when chunks are missing; otherwise what does not agree.
    pub fn finish(mut self) -> Result<Report, Error> {
        let source = self.verification.source;
        if self.next != self.verification.chunks() {
            return Err(Error::Order {
                expected: self.next,
            });
        }
        let mut computed = edge_root(&self.edge, None);
        for ((finished, hashes), level) in self.levels.iter().zip(1..) {
            if !hashes.is_empty() {
                compare(source, Kind::Hashes(level), *finished, hashes)?;
                self.report.tiles += 1;
            }
            computed = edge_root(hashes, computed);
        }
        let computed = computed.unwrap_or(EMPTY_ROOT);
        let signed = *self.verification.checkpoint().root();
        if computed != signed {
            return Err(Error::Root { computed, signed });
        }
        self.report.streams = self.streams.len() as u64;
        for older in self.verification.trust.earlier {
            self.verification.continues(older)?;
            self.report.continues.push(older.size());
        }
        Ok(self.report)
    }
}

/// Joins the complete subtrees of an unfinished tile with what stands to its right.
fn edge_root(hashes: &[Hash], right: Option<Hash>) -> Option<Hash> {
    let mut frontier = Frontier::new();
    hashes.iter().for_each(|hash| frontier.append(*hash));
    fold_right(frontier.roots(), right)
}
