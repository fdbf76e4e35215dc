//! What enforcement knows: a dated, signed picture of approvals, assignments, modes and stopped systems.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lumos_domain::{
    facts::{ApprovalTuple, Assigned, ModeScope, OutageChoice},
    id::{AgentName, AssignmentId, Digest, Environment, ModelName, ReviewId, SystemName},
    words::Mode,
};
use serde::{Deserialize, Serialize};

use crate::dsse::{DsseError, Envelope, StatementSigner, TrustedKey};

/// The media type of a snapshot in its envelope.
pub const SNAPSHOT_TYPE: &str = "application/vnd.lumos.snapshot.v1+json";

/// A picture of what may run, as of a ledger size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The ledger's origin.
    pub origin: String,
    /// The version: how many ledger entries it covers.
    pub size: u64,
    /// The ledger's root at that size, base64.
    pub root: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// Until when it may be used without asking again.
    pub valid_until: Timestamp,
    /// Whether the ledger is a sandbox, in which nothing counts outside of it.
    pub sandbox: bool,
    /// The environments that exist.
    pub environments: BTreeSet<Environment>,
    /// The modes set so far.
    pub modes: Vec<ModeEntry>,
    /// The systems, by name.
    pub systems: BTreeMap<SystemName, SystemEntry>,
    /// Who to ask about each model: the id of its owner.
    pub owners: BTreeMap<ModelName, String>,
    /// Approvals that have not expired, revoked ones included, so that a denial can say why.
    pub approvals: Vec<ApprovalEntry>,
    /// What each agent may use where.
    pub assignments: Vec<AssignmentEntry>,
}

/// A mode as it was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeEntry {
    /// Which systems.
    pub scope: ModeScope,
    /// Where.
    pub environment: Environment,
    /// The mode.
    pub mode: Mode,
    /// For `observe`: when it ends.
    pub until: Option<Timestamp>,
}

/// A governed system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemEntry {
    /// Its agents.
    pub agents: BTreeSet<AgentName>,
    /// Who owns it, by id.
    pub owner: String,
    /// Whether it is stopped.
    pub stopped: bool,
    /// What each environment does when LUMOS cannot be reached.
    pub outage: Vec<(Environment, OutageChoice)>,
}

/// An approval and how it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalEntry {
    /// The review it ended.
    pub review: ReviewId,
    /// What was decided.
    pub tuple: ApprovalTuple,
    /// Why it was revoked, if it was.
    pub revoked: Option<String>,
    /// Digests of the release's weight files.
    pub files: BTreeSet<Digest>,
}

/// What an agent may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignmentEntry {
    /// Which agent, where.
    pub assignment: AssignmentId,
    /// The releases, the newest first.
    pub releases: Vec<Assigned>,
}

impl Snapshot {
    /// Signs this snapshot.
    ///
    /// # Errors
    /// Never in practice: a snapshot is plain data.
    pub fn sign(&self, signer: &StatementSigner) -> Result<Envelope, DsseError> {
        Ok(signer.sign(SNAPSHOT_TYPE, &serde_json::to_vec(self)?))
    }

    /// Reads a signed snapshot.
    ///
    /// # Errors
    /// When no trusted key signed it or it is not a snapshot.
    pub fn open(envelope: &Envelope, trusted: &[TrustedKey]) -> Result<Self, DsseError> {
        Ok(serde_json::from_slice(
            &envelope.open(SNAPSHOT_TYPE, trusted)?,
        )?)
    }

    /// The mode of `system` (or of what names no system) in `environment` at `now`: its own, else that of
    /// `*`, else enforce. An observe mode that ended is enforce (DECISIONS 5).
    #[must_use]
    pub fn mode(
        &self,
        system: Option<&SystemName>,
        environment: &Environment,
        now: Timestamp,
    ) -> Mode {
        let of = |scope: &ModeScope| {
            self.modes
                .iter()
                .find(|m| m.scope == *scope && m.environment == *environment)
        };
        let own = system.and_then(|system| of(&ModeScope::System(system.clone())));
        match own.or_else(|| of(&ModeScope::Every)) {
            Some(ModeEntry {
                mode: Mode::Observe,
                until: Some(until),
                ..
            }) if now < *until => Mode::Observe,
            _ => Mode::Enforce,
        }
    }
}
