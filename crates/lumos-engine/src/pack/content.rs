//! What stands in `pack.json`, and so on the page: every number there comes from here, and everything here from the
//! parts.

use jiff::Timestamp;
use lumos_domain::{
    actor::Actor,
    id::{Digest, Environment, PersonId, ReleaseId},
    seal::Sealed,
};
use serde::{Deserialize, Serialize};

use super::{Asked, Head, Parts, SCHEMA, dossier, parts, period, unseen};

/// A pack, as programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// What was asked for.
    pub asked: Asked,
    /// The ledger that it is made from.
    pub ledger: Ledger,
    /// For a period: the population, what is wrong with it, the sample.
    pub period: Option<Period>,
    /// Releases in full.
    pub releases: Vec<Dossier>,
    /// What LUMOS could not see, as far as it knows.
    pub unseen: Vec<Unseen>,
    /// Kinds of records that a later LUMOS keeps and this one does not.
    pub not_kept: Vec<NotKept>,
    /// Every entry that the pack rests on.
    pub entries: Vec<Line>,
}

/// The ledger under the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Its name.
    pub origin: String,
    /// Its entries.
    pub size: u64,
    /// The root of the tree over them, in base64.
    pub root: String,
    /// The log that signed the checkpoint. Other lines under it are the word of nobody that the log knows; whoever trusts
    /// a witness finds its line there.
    pub signed_by: Vec<String>,
}

/// Whoever acted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// As it stands in the entry, such as `person/ID`.
    pub id: String,
    /// The name that the entry of their adding commits to; `(erased) ID` when nobody can read it any more.
    pub name: String,
}

/// A text that an entry commits to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The text; `None` when it was erased.
    pub text: Option<String>,
    /// Its commitment: `opened.json` holds the salt.
    pub sealed: Sealed,
}

/// A blob that an entry cites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cited {
    /// Its SHA-256.
    pub digest: Digest,
    /// Its file in the pack; `None` when it was too large, or is gone.
    pub file: Option<String>,
}

/// An entry that the pack rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its index in the ledger.
    pub entry: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Its type.
    pub kind: String,
    /// Its stream.
    pub stream: String,
    /// Its place in the stream.
    pub version: u64,
    /// Who acted.
    pub by: Who,
    /// The file with its proof.
    pub receipt: String,
}

/// Something that LUMOS knows it could not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unseen {
    /// A stable word for the kind of gap.
    pub gap: String,
    /// What could not be seen, in a sentence.
    pub what: String,
    /// The entries it is known from; none where it is counted, or known from what is absent.
    pub entries: Vec<u64>,
}

/// A kind of record that is not kept yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotKept {
    /// The kind of record.
    pub record: String,
    /// What stands in its place.
    pub instead: String,
}

pub use super::{
    period::{Change, Period},
    shapes::*,
    tables::Workpaper,
};

/// The content that follows from the parts.
pub(super) fn of(parts: &Parts, head: &Head, asked: &Asked) -> Pack {
    let checkpoint = &head.checkpoint;
    let period = period::of(parts, asked);
    let wanted = match asked {
        Asked::Release { release } => vec![release.clone()],
        Asked::Period { .. } => period::in_full(&period::changes(parts, asked)),
    };
    let releases: Vec<Dossier> = wanted
        .iter()
        .map(|release| dossier::of(parts, release))
        .collect();
    Pack {
        schema: SCHEMA.to_owned(),
        asked: asked.clone(),
        ledger: Ledger {
            origin: checkpoint.origin().to_owned(),
            size: checkpoint.size(),
            root: checkpoint.root().to_base64(),
            signed_by: vec![checkpoint.origin().to_owned()],
        },
        unseen: unseen::of(parts, head, asked, period.as_ref(), &releases),
        not_kept: not_kept(),
        entries: parts.entries().map(|entry| line(parts, entry)).collect(),
        period,
        releases,
    }
}

fn line(parts: &Parts, entry: &crate::LedgerEntry) -> Line {
    Line {
        entry: entry.index,
        time: entry.time,
        kind: entry.event.kind().to_owned(),
        stream: entry.stream.to_string(),
        version: entry.version,
        by: parts.who(&entry.actor),
        receipt: parts::receipt(entry.index),
    }
}

fn not_kept() -> Vec<NotKept> {
    let kinds = [
        (
            "tickets",
            "Requests and votes are entries of the ledger itself; no ticket system is asked.",
        ),
        (
            "passport",
            "The approval's entry and its receipt are the proof of an approval.",
        ),
        (
            "deployments",
            "What was assigned and promoted is shown; that it was then seen to run is not recorded.",
        ),
        (
            "incidents",
            "Revocations, stopped systems and denials are shown; no case is kept of them.",
        ),
    ];
    let kept = |(record, instead): (&str, &str)| NotKept {
        record: record.to_owned(),
        instead: instead.to_owned(),
    };
    kinds.map(kept).to_vec()
}

impl Parts {
    /// Whoever acted, by name.
    pub(super) fn who(&self, actor: &Actor) -> Who {
        let name = match actor {
            Actor::Genesis => "the founding".to_owned(),
            Actor::Clock => "LUMOS, by a timer".to_owned(),
            Actor::Agent(agent) => format!("LUMOS's {}", agent.as_str().replace('-', " ")),
            Actor::Person(id) => self.person(id).name,
            Actor::Service(id) => format!("{} (service)", self.person(id).name),
        };
        Who {
            id: actor.to_string(),
            name,
        }
    }

    /// A person by name.
    pub(super) fn person(&self, id: &PersonId) -> Who {
        let name = self.name(id).map(str::to_owned);
        Who {
            id: format!("person/{id}"),
            name: name.unwrap_or_else(|| format!("(erased) {id}")),
        }
    }

    /// A text that an entry commits to.
    pub(super) fn said(&self, sealed: Sealed) -> Text {
        Text {
            text: self.text(&sealed).map(str::to_owned),
            sealed,
        }
    }

    /// A blob that an entry cites.
    pub(super) fn cited(&self, digest: &Digest) -> Cited {
        Cited {
            digest: *digest,
            file: self.bytes(digest).map(|_| parts::blob(digest)),
        }
    }
}

impl Text {
    /// The text, or a word that says it was erased.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.text.as_deref().unwrap_or("(erased)")
    }
}

impl Pack {
    /// What the pack is about, in words.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.asked {
            Asked::Release { release } => format!("Evidence about {release}"),
            Asked::Period {
                from,
                to,
                environment,
                ..
            } => {
                let place = environment
                    .as_ref()
                    .map_or("every environment", Environment::as_str);
                let day = |time: &Timestamp| time.strftime("%Y-%m-%d %H:%M UTC").to_string();
                format!(
                    "What came to run in {place}, from {} to {}",
                    day(from),
                    day(to)
                )
            }
        }
    }

    /// The dossier of a release, if it is shown in full.
    #[must_use]
    pub fn dossier(&self, release: &ReleaseId) -> Option<&Dossier> {
        self.releases.iter().find(|d| d.release == *release)
    }
}
