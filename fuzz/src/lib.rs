#![doc = include_str!("../README.md")]

mod evidence;
mod ledger;
mod pack;
mod policy;
mod records;
mod settings;
mod timestamp;

/// One parser, or a family of them, that takes bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus`.
    pub name: &'static str,
    /// Hands bytes to it. Panics when it does not do what it must.
    pub run: fn(&[u8]),
    /// Well-formed inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    ledger::NOTE,
    ledger::ENTRY,
    ledger::TILE,
    ledger::EXPORT,
    evidence::PICKLE,
    evidence::ARCHIVE,
    evidence::TENSORS,
    evidence::TEXT,
    policy::BUNDLE,
    policy::CEL,
    policy::CANDIDATE,
    policy::CASES,
    records::MANIFEST,
    records::EVENT,
    records::STATEMENT,
    records::WEBHOOK,
    records::PATTERNS,
    pack::PACK,
    settings::SETTINGS,
    timestamp::REPLY,
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
