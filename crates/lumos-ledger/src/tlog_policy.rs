//! Whom a verifier trusts (C2SP tlog-policy): the logs it knows, the witnesses it knows, and how many of them
//! must have cosigned. It says what makes a checkpoint valid, and nothing of the entries below it.

use std::collections::HashMap;

use crate::checkpoint::{self, Checkpoint, Opened};
use crate::note::{self, Algorithm, VerifierKey};

/// The longest policy read, in bytes.
pub const MAX_POLICY: usize = 1 << 20;
/// Most lines of one kind; the specification asks for 32 at least.
pub const MAX_ITEMS: usize = 1_024;

/// A log or a witness: its key, and where it can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its verifier key; of a log, the name is its origin.
    pub key: VerifierKey,
    /// Its address, if the policy names one.
    pub url: Option<String>,
}

/// A trust policy, read whole.
#[derive(Debug, Clone)]
pub struct TlogPolicy {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    defined: Vec<Node>,
    /// `None` asks for no witness.
    quorum: Option<usize>,
    /// Every key, logs first, for opening notes.
    keys: Vec<VerifierKey>,
}

/// A name that the quorum can hang on.
#[derive(Debug, Clone)]
enum Node {
    /// The witness at this index.
    Witness(usize),
    /// At least `threshold` of the nodes at `members`, all of them defined before.
    Group {
        threshold: usize,
        members: Vec<usize>,
    },
}

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading a trust policy: line {line}: {problem}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// In the words of the specification.
    #[error("{0}")]
    Line(&'static str),
    /// A verifier key that cannot be read.
    #[error("{0}")]
    Key(#[from] note::Error),
}

impl Error {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        "ledger-policy-malformed"
    }
}

/// Why a checkpoint is not valid under a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The note is malformed, or not by a log of the policy.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// Too few witnesses cosigned it.
    #[error(
        "opening a checkpoint: the witnesses that cosigned it ({cosigned} of {known} known) are no quorum"
    )]
    NoQuorum {
        /// How many known witnesses cosigned.
        cosigned: usize,
        /// How many are known.
        known: usize,
    },
}

impl Refusal {
    /// Stable name of this failure, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Checkpoint(error) => error.code(),
            Self::NoQuorum { .. } => "ledger-no-quorum",
        }
    }
}

impl TlogPolicy {
    /// Reads a policy. Names are bytes; addresses and keys must be UTF-8.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut reading = Reading::default();
        if bytes.len() > MAX_POLICY {
            return Err(at(1, "the policy is over 1 MiB"));
        }
        let mut last = 1;
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            reading.line(line).map_err(|problem| Error {
                line: number,
                problem,
            })?;
            last = number;
        }
        let quorum = reading.quorum.ok_or(at(last, "no line says `quorum`"))?;
        let keys = [&reading.logs, &reading.witnesses].into_iter().flatten();
        Ok(Self {
            keys: keys.map(|party| party.key.clone()).collect(),
            logs: reading.logs,
            witnesses: reading.witnesses,
            defined: reading.defined,
            quorum,
        })
    }

    /// The logs whose checkpoints are accepted.
    pub fn logs(&self) -> &[Party] {
        &self.logs
    }

    /// The witnesses it knows, in the quorum or not.
    pub fn witnesses(&self) -> &[Party] {
        &self.witnesses
    }

    /// The keys of all of them, for whoever opens notes without asking for the quorum.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Whether it asks for any witness at all.
    pub fn asks_for_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// Opens a checkpoint that is valid under this policy: signed by a log of it, cosigned by a quorum.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn open(&self, note: &[u8]) -> Result<Opened<'_>, Refusal> {
        let opened = Checkpoint::open(note, &self.keys)?;
        self.check(&opened)?;
        Ok(opened)
    }

    /// Whether the cosignatures of an opened checkpoint are a quorum.
    ///
    /// # Errors
    /// [`Refusal::NoQuorum`].
    pub fn check(&self, opened: &Opened<'_>) -> Result<(), Refusal> {
        let cosigned = |party: &Party| opened.signatures.iter().any(|s| *s.key == party.key);
        let cosigned: Vec<bool> = self.witnesses.iter().map(cosigned).collect();
        // Groups stand behind their members, so one pass decides all.
        let mut witnessed: Vec<bool> = Vec::with_capacity(self.defined.len());
        for node in &self.defined {
            witnessed.push(match node {
                Node::Witness(index) => cosigned[*index],
                Node::Group { threshold, members } => {
                    members.iter().filter(|member| witnessed[**member]).count() >= *threshold
                }
            });
        }
        match self.quorum {
            Some(quorum) if !witnessed[quorum] => Err(Refusal::NoQuorum {
                cosigned: cosigned.iter().filter(|cosigned| **cosigned).count(),
                known: cosigned.len(),
            }),
            _ => Ok(()),
        }
    }
}

fn at(line: usize, problem: &'static str) -> Error {
    let problem = Problem::Line(problem);
    Error { line, problem }
}

/// A policy while it is read.
#[derive(Default)]
struct Reading<'a> {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    defined: Vec<Node>,
    /// The nodes by name, each with whether it is a member of a group already.
    names: HashMap<&'a [u8], (usize, bool)>,
    quorum: Option<Option<usize>>,
}

impl<'a> Reading<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), Problem> {
        let wrong = |problem| Err(Problem::Line(problem));
        if line
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return wrong("it holds a control character");
        }
        let items = line.split(|byte| matches!(byte, b' ' | b'\t'));
        let items: Vec<&[u8]> = items.filter(|item| !item.is_empty()).collect();
        match items[..] {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key, ref url @ ..] if url.len() < 2 => {
                let party = party(key, url.first().copied())?;
                if party.key.algorithm() != Algorithm::Ed25519 {
                    return wrong("the key is not of a type that signs checkpoints");
                }
                add(&mut self.logs, party)
            }
            [b"witness", name, key, ref url @ ..] if url.len() < 2 => {
                let party = party(key, url.first().copied())?;
                if party.key.algorithm() != Algorithm::Cosignature {
                    return wrong("the key is not of a type that cosigns checkpoints");
                }
                add(&mut self.witnesses, party)?;
                self.define(name, Node::Witness(self.witnesses.len() - 1))
            }
            [b"group", name, threshold, ref members @ ..] if !members.is_empty() => {
                let threshold = threshold_of(threshold, members.len())?;
                let members = members.iter().map(|member| self.member(member));
                let members = members.collect::<Result<_, _>>()?;
                self.define(name, Node::Group { threshold, members })
            }
            [b"quorum", _] if self.quorum.is_some() => wrong("a line above says `quorum` already"),
            [b"quorum", b"none"] => {
                self.quorum = Some(None);
                Ok(())
            }
            [b"quorum", name] => {
                let Some((node, _)) = self.names.get(name) else {
                    return wrong("no line above defines this name");
                };
                self.quorum = Some(Some(*node));
                Ok(())
            }
            _ => wrong("it is no log, witness, group or quorum with what belongs to it"),
        }
    }

    fn define(&mut self, name: &'a [u8], node: Node) -> Result<(), Problem> {
        if name == b"none" {
            return Err(Problem::Line("the name `none` is taken"));
        }
        if self.defined.len() == MAX_ITEMS {
            return Err(Problem::Line("it defines over 1024 names"));
        }
        let entry = (self.defined.len(), false);
        if self.names.insert(name, entry).is_some() {
            return Err(Problem::Line("a line above defines this name"));
        }
        self.defined.push(node);
        Ok(())
    }

    fn member(&mut self, name: &[u8]) -> Result<usize, Problem> {
        match self.names.get_mut(name) {
            None => Err(Problem::Line(
                "no line above defines a member of this group",
            )),
            Some((_, true)) => Err(Problem::Line("a member of it is a member already")),
            Some((node, member)) => {
                *member = true;
                Ok(*node)
            }
        }
    }
}

fn party(key: &[u8], url: Option<&[u8]>) -> Result<Party, Problem> {
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| Problem::Line("it is not UTF-8"));
    Ok(Party {
        key: utf8(key)?.parse()?,
        url: url.map(|url| utf8(url).map(str::to_owned)).transpose()?,
    })
}

/// The same key under another name is the same party.
fn add(parties: &mut Vec<Party>, party: Party) -> Result<(), Problem> {
    let same = |known: &Party| known.key.public() == party.key.public();
    if parties.iter().any(same) {
        return Err(Problem::Line("a line above has the same key"));
    }
    if parties.len() == MAX_ITEMS {
        return Err(Problem::Line("it names over 1024 parties of a kind"));
    }
    parties.push(party);
    Ok(())
}

fn threshold_of(text: &[u8], members: usize) -> Result<usize, Problem> {
    let number = || {
        let text = std::str::from_utf8(text).ok()?;
        let number = checkpoint::parse_decimal(text)?;
        usize::try_from(number).ok()
    };
    let threshold = match text {
        b"all" => Some(members),
        b"any" => Some(1),
        _ => number(),
    };
    threshold
        .filter(|threshold| (1..=members).contains(threshold))
        .ok_or(Problem::Line(
            "the threshold is not `all`, `any` or from 1 to the number of members",
        ))
}

#[cfg(test)]
mod tests;
