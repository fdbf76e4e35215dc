//! Whose word counts, where a ledger changed its keys: from the keys the caller trusts to those that sign now, step by
//! step, each signed for by a key that counted then; and never by one beyond where it was revoked
//! (docs/decisions/0015).

use std::collections::BTreeSet;

use lumos_domain::{keys::LogKey, stream::Stream};
use lumos_engine::{
    keyring::{self, History, Word},
    ports::{Store as _, StoredEntry},
};
use lumos_ledger::{
    Checkpoint, VerifierKey, checkpoint, export,
    note::{self, Algorithm, MAX_NOTE},
    verify::{Report, Source as _},
};
use tokio::runtime::Handle;

use super::target::Target;

/// Most keys of the other side that are looked at.
const MAX_CANDIDATES: usize = 64;

/// Why a verified log is not believed all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyProblem {
    /// The key's word does not reach so far.
    #[error(
        "key {key} was revoked by entry {entry}, and counts up to {good_until} entries: what it signed over {size} \
         is worth nothing. Ask the log's owner for the key that signs now"
    )]
    Revoked {
        key: String,
        good_until: u64,
        entry: u64,
        size: u64,
    },
    /// Another key had taken its place, and did not sign.
    #[error(
        "over {size} entries key {key} signs every checkpoint of this log, and this one it did not sign: a key that was \
         replaced says nothing alone"
    )]
    Replaced { key: String, size: u64 },
    /// No key the caller trusts leads to it.
    #[error(
        "the log is signed by {signed_by}, and no checkpoint by a key you trust says that this one follows it. Ask the \
         log's owner for its key, or hold on to a checkpoint that both signed (`handover/`)"
    )]
    Unknown { signed_by: String },
    /// What the log says of its keys is not what any version wrote.
    #[error("the log's entries about its keys cannot be read: {0}")]
    Unreadable(String),
}

impl KeyProblem {
    /// The stable code of this problem, a page in `docs/errors/`.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Revoked { .. } => "ledger-key-revoked",
            Self::Replaced { .. } => "ledger-key-replaced",
            Self::Unknown { .. } => "ledger-signature-untrusted",
            Self::Unreadable(_) => "unreadable-entry",
        }
    }
}

/// A step from a key to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The entry that says so.
    pub(super) entry: u64,
    /// The id of the key that was trusted.
    pub(super) from: String,
    /// The id of the one that follows.
    pub(super) to: String,
    /// Entries under the checkpoint by which the first vouches for it.
    pub(super) size: u64,
}

/// The keys with which a log may be opened before it is known which of them count: the caller's own, and those of the
/// same name that the other side states.
pub(super) fn candidates(trusted: &[VerifierKey], stated: &[String]) -> Vec<VerifierKey> {
    let mut keys = trusted.to_vec();
    let stated = stated.iter().take(MAX_CANDIDATES);
    for key in stated.filter_map(|key| key.parse::<VerifierKey>().ok()) {
        let of_same_log = trusted
            .iter()
            .any(|own| own.name() == key.name() && own.algorithm() == key.algorithm());
        let same_id = keys
            .iter()
            .any(|own| own.name() == key.name() && own.id() == key.id());
        if key.algorithm() == Algorithm::Ed25519 && of_same_log && !same_id {
            keys.push(key);
        }
    }
    keys
}

/// Every key that the other side says the log ever had: nothing to believe, only where to look.
pub(super) fn stated(target: &Target, handle: &Handle) -> Vec<String> {
    match target {
        Target::Export(_) => {
            let files = ["vkeys", export::HANDED];
            let texts = files
                .iter()
                .filter_map(|file| target.read(file, MAX_NOTE).ok());
            let lines = texts.flat_map(|text| {
                let text = String::from_utf8_lossy(&text).into_owned();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            });
            lines.collect()
        }
        Target::Live(live) => {
            let keys = handle.block_on(live.remote.get("/api/v1/keys"));
            let keys = keys.unwrap_or_default();
            listed(&keys).map(str::to_owned).collect()
        }
        Target::Data(database, _) => {
            let stored = handle.block_on(database.store.stream(&Stream::Keys));
            let history = stored.ok().and_then(|stored| History::of(&stored).ok());
            let known = history.map(|history| history.now().known);
            let known = known.unwrap_or_default().into_iter();
            known.map(|key| key.key.to_string()).collect()
        }
    }
}

/// The verifier keys in a server's list of keys.
pub(super) fn listed(keys: &serde_json::Value) -> impl Iterator<Item = &str> {
    let keys = keys.as_array().into_iter().flatten();
    keys.filter_map(|key| key["vkey"].as_str())
}

/// A signed checkpoint that is a prefix of the log once it is verified.
pub(super) struct Voucher {
    pub(super) checkpoint: Checkpoint,
    signers: Vec<VerifierKey>,
}

impl Voucher {
    /// Reads a note that any of `keys` signed; `None` where none did.
    pub(super) fn read(note: &[u8], keys: &[VerifierKey]) -> Option<Self> {
        let opened = Checkpoint::open(note, keys).ok()?;
        let by_log = opened.signatures.iter().filter(|signature| {
            signature.key.algorithm() == Algorithm::Ed25519
                && signature.key.name() == opened.checkpoint.origin()
        });
        Some(Self {
            signers: by_log.map(|signature| signature.key.clone()).collect(),
            checkpoint: opened.checkpoint,
        })
    }
}

/// The checkpoints by which keys handed over, as the log keeps them; none where the caller's own keys sign it still.
///
/// # Errors
/// When one has a wrong signature by a key that the caller trusts. Lines by other keys are nobody's word.
pub(super) fn handovers(
    target: &Target,
    trusted: &[VerifierKey],
    keys: &[VerifierKey],
) -> Result<Vec<Voucher>, checkpoint::Error> {
    let head = target.read("checkpoint", MAX_NOTE);
    let known = head.is_ok_and(|head| Checkpoint::open(&head, trusted).is_ok());
    if known {
        return Ok(Vec::new());
    }
    let mut vouchers = Vec::new();
    for key in keys {
        let Ok(note) = target.read(&export::handover(key), MAX_NOTE) else {
            continue;
        };
        if let Err(wrong @ checkpoint::Error::Note(note::Error::Signature(_))) =
            Checkpoint::open(&note, trusted)
        {
            return Err(wrong);
        }
        vouchers.extend(Voucher::read(&note, keys));
    }
    Ok(vouchers)
}

/// The note kept for a key in a database.
pub(super) fn kept(database: &super::target::Database, key_id: &str) -> Option<Vec<u8>> {
    let note = database
        .handle
        .block_on(keyring::handover(&*database.store, key_id));
    Some(note.ok()??.into_bytes())
}

/// What the verified entries say of the log's keys, and which of them the caller's trust reaches.
pub(super) struct Reached {
    history: History,
    keys: BTreeSet<String>,
    pub(super) steps: Vec<Step>,
}

impl Reached {
    /// Follows the successions from `trusted`. Every voucher was proven to be a prefix of the log.
    pub(super) fn from(
        report: &Report,
        trusted: &[VerifierKey],
        vouchers: &[&Voucher],
    ) -> Result<Self, KeyProblem> {
        let stored: Vec<StoredEntry> = report
            .kept
            .iter()
            .map(|(index, bytes)| StoredEntry {
                index: *index,
                bytes: bytes.clone(),
            })
            .collect();
        let history = History::of(&stored);
        let history = history.map_err(|error| KeyProblem::Unreadable(error.to_string()))?;
        let mut reached = Self {
            history,
            keys: trusted.iter().map(ToString::to_string).collect(),
            steps: Vec::new(),
        };
        while let Some((key, step)) = reached.further(vouchers) {
            reached.keys.insert(key);
            reached.steps.push(step);
        }
        Ok(reached)
    }

    /// One more key, for which a key that was reached vouches.
    fn further(&self, vouchers: &[&Voucher]) -> Option<(String, Step)> {
        let new = |to: &LogKey| !self.keys.contains(to.as_str());
        self.history
            .successions()
            .filter(|(_, _, to)| new(to))
            .find_map(|(entry, from, to)| {
                let vouches = |voucher: &&&Voucher| {
                    let by = |key: &VerifierKey| {
                        let counts = self.word(key, voucher.checkpoint.size()) == Word::Counts;
                        key.to_string() == from.as_str() && counts
                    };
                    entry < voucher.checkpoint.size() && voucher.signers.iter().any(by)
                };
                let reached = self.keys.contains(from.as_str());
                let voucher = vouchers.iter().find(vouches).filter(|_| reached)?;
                let step = Step {
                    entry,
                    from: from.id().to_owned(),
                    to: to.id().to_owned(),
                    size: voucher.checkpoint.size(),
                };
                Some((to.to_string(), step))
            })
    }

    fn word(&self, key: &VerifierKey, size: u64) -> Word {
        // A log that says nothing of its keys has the one that the caller holds.
        if self.history == History::default() {
            return Word::Counts;
        }
        match key.to_string().parse() {
            Ok(key) => self.history.word(&key, size),
            Err(_) => Word::Unknown,
        }
    }

    /// Whether something the caller trusts vouches for a key: it is theirs, or leads on from theirs.
    pub(super) fn vouches_for(&self, key: &VerifierKey) -> bool {
        self.keys.contains(&key.to_string())
    }

    /// Whether the verified checkpoint itself is believed.
    pub(super) fn believe(&self, report: &Report) -> Result<(), KeyProblem> {
        let signers = report.signatures.iter().map(|(key, _)| key);
        let signers = signers.filter(|key| key.algorithm() == Algorithm::Ed25519);
        let reached = |key: &&VerifierKey| self.keys.contains(&key.to_string());
        self.any(signers, report.checkpoint.size(), reached)
    }

    /// Whether a checkpoint that the caller holds from before is one of this log: by a key that counted when it was
    /// that long, whichever it was.
    pub(super) fn accept(&self, voucher: &Voucher) -> Result<(), KeyProblem> {
        let any = |_: &&VerifierKey| true;
        self.any(voucher.signers.iter(), voucher.checkpoint.size(), any)
    }

    fn any<'k>(
        &self,
        signers: impl Iterator<Item = &'k VerifierKey>,
        size: u64,
        among: impl Fn(&&'k VerifierKey) -> bool,
    ) -> Result<(), KeyProblem> {
        let signers: Vec<&VerifierKey> = signers.collect();
        let mut problem = KeyProblem::Unknown {
            signed_by: ids(&signers),
        };
        for key in signers.iter().copied().filter(among) {
            match self.word(key, size) {
                Word::Counts => return self.current(&signers, size),
                Word::Unknown => {}
                Word::Revoked { good_until, entry } => {
                    problem = KeyProblem::Revoked {
                        key: format!("{:08x}", key.id()),
                        good_until,
                        entry,
                        size,
                    };
                }
            }
        }
        Err(problem)
    }
}

impl Reached {
    /// Whether the key that takes first place at this size is among the signers: no checkpoint was made without it.
    fn current(&self, signers: &[&VerifierKey], size: u64) -> Result<(), KeyProblem> {
        match self.history.at(size).current {
            Some(current)
                if !signers
                    .iter()
                    .any(|key| key.to_string() == current.as_str()) =>
            {
                let key = current.id().to_owned();
                Err(KeyProblem::Replaced { key, size })
            }
            _ => Ok(()),
        }
    }
}

fn ids(keys: &[&VerifierKey]) -> String {
    let ids = keys.iter().map(|key| format!("key {:08x}", key.id()));
    ids.collect::<Vec<_>>().join(" and ")
}
