//! The only list of what can happen. Each event has a type `lumos.<noun>.<verb>.v<n>` that never changes
//! its meaning; a new meaning is a new version, upcast in [`Event::decode`]. Golden bytes of every version
//! stay in the tests for ever (DESIGN promise 2).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    actor::{Grant, Right},
    erasure::Kept,
    facts::{
        AgentOutage, ApprovalTuple, Assigned, Binding, BundleRef, Cause, Claim, ModeScope,
        PromotionOrder, ReportFacts, ReviewRecord, Seed, Source,
    },
    id::{
        AgentName, AgentRef, BundleName, Digest, Environment, HoldId, ModelName, OutsideAgentName,
        PersonId, ReleaseId, ReviewId, RoleName, TokenId,
    },
    keys::LogKey,
    log_review::Schedule,
    proposal::Governed,
    retention::HoldScope,
    rules::{Gate, ReviewRules},
    seal::Sealed,
    words::{Finding, Grade, KeyPlace, Mode, ModelTier, PartKind, Reading, RecordClass, Verdict},
};

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $kind:literal {
        $($(#[$fdoc:meta])* $field:ident: $ty:ty,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

            impl From<$name> for Event {
                fn from(payload: $name) -> Self {
                    Self::$name(payload)
                }
            }
        )*

        /// Something that happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event { $($(#[$doc])* $name($name),)* }

        impl Event {
            /// Every event type this version of LUMOS knows.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The CloudEvents type of this event.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }

            /// The JSON that stands in the entry's `data`.
            ///
            /// # Errors
            /// Never in practice: every payload is plain data.
            pub fn to_json(&self) -> serde_json::Result<String> {
                match self { $(Self::$name(payload) => serde_json::to_string(payload),)* }
            }

            /// Reads an event back from its type and data.
            ///
            /// # Errors
            /// An unknown type or version, or data that is not of that type's shape: the ledger is then
            /// read-only for this version of LUMOS.
            pub fn decode(kind: &str, data: &str) -> Result<Self, DecodeEventError> {
                match kind {
                    $($kind => serde_json::from_str::<$name>(data).map(Self::$name).map_err(|source| {
                        DecodeEventError::Data { kind: $kind, source }
                    }),)*
                    unknown => Err(DecodeEventError::Unknown(unknown.chars().take(128).collect())),
                }
            }
        }
    };
}

/// Why a stored event cannot be read by this version.
#[derive(Debug, thiserror::Error)]
pub enum DecodeEventError {
    /// A type or version that this LUMOS does not know.
    #[error("reading an event: the type `{0}` is unknown to this version of LUMOS")]
    Unknown(String),
    /// A known type with data of another shape.
    #[error("reading an event of type `{kind}`")]
    Data {
        /// The event's type.
        kind: &'static str,
        /// What did not fit.
        source: serde_json::Error,
    },
}

impl DecodeEventError {
    /// The stable code of this error, a page in `docs/errors/`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "unknown-event"
    }
}

events! {
    // ---- org -------------------------------------------------------------------------------------
    /// The ledger begins: who founded it, from what.
    GenesisRecorded = "lumos.genesis.recorded.v1" {
        /// The founders; one person means a sandbox.
        founders: Vec<PersonId>,
        /// The ledger's origin, which names its key.
        origin: String,
        /// Whether this is a single-person sandbox.
        sandbox: bool,
        /// The files whose content was turned into the commands of this append.
        seeds: Vec<Seed>,
        /// SHA-256 of the settings at the founding.
        settings: Digest,
    }
    /// A process began to write to this ledger.
    StartRecorded = "lumos.start.recorded.v1" {
        /// SHA-256 of the settings it runs with.
        settings: Digest,
        /// The software and its version.
        software: String,
    }
    /// What keeps the clock that every time comes from, as the operator and the machine name it: another than before.
    ClockSourceNamed = "lumos.clock.source_named.v1" {
        /// Its name.
        source: String,
    }
    /// The clock did not go on evenly: it was set, or the machine stood still.
    ClockStepped = "lumos.clock.stepped.v1" {
        /// What it should have shown: at a start, at least the time of the last entry.
        expected: Timestamp,
        /// What it showed.
        found: Timestamp,
    }
    /// A start made the tables beside the ledger anew from its entries, and had LUMOS's own agents look at all of them
    /// again: the first start after a restore.
    LedgerReread = "lumos.ledger.reread.v1" {
        /// How many entries there were.
        size: u64,
    }
    /// The sandbox became an organisation; every approval given in it ends.
    SandboxLeft = "lumos.sandbox.left.v1" {
        /// The second founder.
        founder: PersonId,
    }
    /// A gate was defined or changed.
    GateDefined = "lumos.gate.defined.v1" {
        /// The gate as it is from now on.
        gate: Gate,
    }
    /// The rules of review were set.
    ReviewRulesSet = "lumos.review_rules.set.v1" {
        /// The rules as they are from now on.
        rules: ReviewRules,
    }
    /// A role was defined or changed.
    RoleDefined = "lumos.role.defined.v1" {
        /// The role.
        role: RoleName,
        /// The rights it carries from now on.
        rights: BTreeSet<Right>,
    }
    /// Denials are applied or only recorded from now on.
    ModeSet = "lumos.mode.set.v1" {
        /// Which systems.
        scope: ModeScope,
        /// Where.
        environment: Environment,
        /// The mode.
        mode: Mode,
        /// For `observe`: when it ends in `enforce`.
        until: Option<Timestamp>,
        /// Why.
        reason: Sealed,
    }
    /// Records of a class stay readable for another time from now on.
    RetentionSet = "lumos.retention.set.v1" {
        /// Which records.
        class: RecordClass,
        /// Days after a record was last in effect.
        days: u32,
        /// What it was before.
        was_days: u32,
        /// Why.
        reason: Sealed,
    }
    /// A legal hold was set: nothing that it covers is erased.
    HoldSet = "lumos.hold.set.v1" {
        /// The hold.
        hold: HoldId,
        /// What it covers.
        scope: HoldScope,
        /// Why.
        reason: Sealed,
    }
    /// An outside agent was defined or changed.
    OutsideAgentDefined = "lumos.outside_agent.defined.v1" {
        /// The agent.
        agent: OutsideAgentName,
        /// The service that it acts as.
        account: PersonId,
        /// The kinds of evidence that it alone records from now on.
        evidence: BTreeSet<String>,
    }
    /// A legal hold was lifted.
    HoldLifted = "lumos.hold.lifted.v1" {
        /// The hold.
        hold: HoldId,
        /// Why.
        reason: Sealed,
    }

    // ---- person ----------------------------------------------------------------------------------
    /// A person or service was added.
    PersonAdded = "lumos.person.added.v1" {
        /// The name shown to people.
        name: Sealed,
        /// The name to sign in with, unique.
        login: Sealed,
        /// Whether it is a service, which never signs.
        service: bool,
    }
    /// A person may no longer act.
    PersonSuspended = "lumos.person.suspended.v1" {
        /// Why.
        reason: Sealed,
    }
    /// A role was granted.
    RoleGranted = "lumos.role.granted.v1" {
        /// The role and where it holds.
        grant: Grant,
    }
    /// A role was taken back.
    RoleRevoked = "lumos.role.revoked.v1" {
        /// The role and where it held.
        grant: Grant,
    }
    /// A password was set.
    CredentialSet = "lumos.credential.set.v1" {
        /// The Argon2id hash, sealed.
        hash: Sealed,
        /// Whether somebody else set it: then it must be changed at the next sign-in.
        by_other: bool,
    }
    /// A token was issued.
    TokenIssued = "lumos.token.issued.v1" {
        /// The token.
        token: TokenId,
        /// SHA-256 of its secret, sealed; of the first half of it where two people drew it.
        hash: Sealed,
        /// Where two people drew it: SHA-256 of the second half, sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        second: Option<Sealed>,
        /// The rights it is limited to.
        rights: BTreeSet<Right>,
        /// What it is for.
        purpose: Sealed,
        /// When it ends.
        expires: Timestamp,
    }
    /// A token was revoked.
    TokenRevoked = "lumos.token.revoked.v1" {
        /// The token.
        token: TokenId,
    }

    /// It was asked that a person be erased.
    ErasureRequested = "lumos.erasure.requested.v1" {
        /// Why.
        reason: Sealed,
        /// When it is looked at: at once, or when what keeps the name longest ends.
        due: Timestamp,
        /// What keeps the name longest, if anything does.
        kept: Option<Kept>,
    }
    /// A waiting erasure came due while something still kept the name.
    ErasurePostponed = "lumos.erasure.postponed.v1" {
        /// When it is looked at again.
        due: Timestamp,
        /// What keeps the name longest.
        kept: Kept,
    }
    /// A waiting erasure was taken back.
    ErasureWithdrawn = "lumos.erasure.withdrawn.v1" {
        /// Why.
        reason: Sealed,
    }
    /// A person was erased: the salts and values behind their sealed fields went with this entry.
    ErasureCarriedOut = "lumos.erasure.carried_out.v1" {
        /// How many sealed fields cannot be read any more.
        values: u32,
        /// SHA-256 of their commitments in order, 64 hex digits and a line feed each.
        digest: Digest,
    }

    // ---- model -----------------------------------------------------------------------------------
    /// A model was registered.
    ModelRegistered = "lumos.model.registered.v1" {
        /// Who owns it.
        owner: PersonId,
        /// Who owns its data, and so cannot approve it.
        data_owner: Option<PersonId>,
        /// What it is for.
        purpose: Sealed,
        /// The business unit it belongs to.
        unit: Option<String>,
        /// Frameworks that bind it, such as `nist-ai-rmf`.
        frameworks: BTreeSet<String>,
        /// The policy bundles every release of it is held against.
        policies: BTreeSet<BundleName>,
    }
    /// The materiality of a model was set.
    ModelTierSet = "lumos.model.tier_set.v1" {
        /// The tier.
        tier: ModelTier,
        /// Why.
        rationale: Sealed,
    }
    /// A model was bound to a name in a registry.
    ModelBound = "lumos.model.bound.v1" {
        /// Where its versions appear and what they are for.
        binding: Binding,
    }
    /// The release that an environment runs when no agent is named.
    CurrentReleaseSet = "lumos.model.current_set.v1" {
        /// The environment.
        environment: Environment,
        /// The release.
        release: ReleaseId,
        /// Its digest.
        digest: Digest,
        /// The review that approved it.
        approval: ReviewId,
    }

    // ---- release ---------------------------------------------------------------------------------
    /// A version appeared in a registry or was submitted.
    CandidateDetected = "lumos.candidate.detected.v1" {
        /// Where its artifacts are.
        source: Source,
        /// The environment it asks for.
        environment: Environment,
        /// The agents it is for.
        agents: BTreeSet<AgentRef>,
        /// The signed-in person who submitted it, if any.
        submitter: Option<PersonId>,
        /// Names of authors as a registry or submitter states them.
        claims: Vec<Claim>,
        /// The kind of change as declared.
        declared: Option<PartKind>,
        /// Whether it only tests the flow and can never be approved.
        test: bool,
    }
    /// The digest of a release became known, once.
    ReleaseIdentified = "lumos.release.identified.v1" {
        /// The release digest; its manifest is the blob of the same digest.
        digest: Digest,
    }
    /// Other bytes appeared under a version that was already identified.
    DigestConflictFound = "lumos.release.digest_conflict_found.v1" {
        /// The digest that was refused.
        found: Digest,
    }
    /// The artifacts could not be fetched or hashed.
    AcquisitionFailed = "lumos.release.acquisition_failed.v1" {
        /// A stable code.
        code: String,
        /// What was being done, free of personal data.
        problem: String,
    }
    /// A signed-in person said: this author claim is me.
    AuthorClaimed = "lumos.author.claimed.v1" {
        /// Which claim.
        claim: u32,
        /// Who.
        person: PersonId,
    }
    /// A release was withdrawn.
    ReleaseWithdrawn = "lumos.release.withdrawn.v1" {
        /// Why.
        reason: Sealed,
    }
    /// A release asked to enter a further environment.
    GateRequested = "lumos.gate.requested.v1" {
        /// The environment.
        environment: Environment,
        /// The agents it is for there.
        agents: BTreeSet<AgentRef>,
    }
    /// The release was held against its policy bundles.
    ReportRecorded = "lumos.report.recorded.v1" {
        /// What of the report decisions need; the whole is a blob.
        report: ReportFacts,
    }
    /// A review of this release was opened or brought up to date.
    ReviewStarted = "lumos.release.review_started.v1" {
        /// The review.
        review: ReviewId,
    }
    /// LUMOS is about to change a registry.
    PromotionIntended = "lumos.promotion.intended.v1" {
        /// What is to be done, under which approval.
        order: PromotionOrder,
    }
    /// The registry was read back after a promotion.
    PromotionObserved = "lumos.promotion.observed.v1" {
        /// The order it answers.
        marker: String,
        /// The version the alias was seen to name.
        read_back: String,
    }
    /// A promotion did not happen.
    PromotionFailed = "lumos.promotion.failed.v1" {
        /// The order it answers.
        marker: String,
        /// A stable code.
        code: String,
        /// What went wrong, free of secrets and personal data.
        problem: String,
    }

    // ---- subject ---------------------------------------------------------------------------------
    /// Evidence about a release digest was recorded.
    EvidenceRecorded = "lumos.evidence.recorded.v1" {
        /// The kind of claim, such as `artifact_scan`.
        kind: String,
        /// Who made it: an own agent, a tool, or `developer`.
        producer: String,
        /// The blob that holds the claim.
        digest: Digest,
        /// Whether it was recorded in a sandbox, where one person could record anything.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        sandbox: bool,
    }

    // ---- review ----------------------------------------------------------------------------------
    /// A review was opened.
    ReviewOpened = "lumos.review.opened.v1" {
        /// What is decided upon.
        record: ReviewRecord,
        /// When it escalates if undecided. `None` for an automatic decision.
        due: Option<Timestamp>,
    }
    /// What is decided upon changed; earlier signatures no longer count.
    ReviewRecordChanged = "lumos.review.record_changed.v1" {
        /// What is decided upon from now on.
        record: ReviewRecord,
    }
    /// A critical gap was found: nobody can approve, and a senior role will be asked.
    ReviewPaused = "lumos.review.paused.v1" {
        /// The rules that failed.
        rules: Vec<String>,
        /// When it escalates.
        escalates: Timestamp,
    }
    /// A senior role was added to the review.
    ReviewEscalated = "lumos.review.escalated.v1" {
        /// The role that must now sign too.
        role: RoleName,
        /// Why.
        cause: Cause,
    }
    /// A person signed.
    Signed = "lumos.review.signed.v1" {
        /// Who.
        person: PersonId,
        /// The slot that the signature fills; `None` for reject and request changes.
        slot: Option<RoleName>,
        /// What was said.
        verdict: Verdict,
        /// Why.
        reason: Sealed,
        /// What the signature means (21 CFR 11.50).
        meaning: String,
        /// How it was made.
        grade: Grade,
        /// SHA-256 of the review record that was signed.
        record: Digest,
    }
    /// A remark in the one thread of a review.
    Remarked = "lumos.review.remarked.v1" {
        /// The text.
        text: Sealed,
    }
    /// The release may run as the tuple says.
    ReleaseApproved = "lumos.release.approved.v1" {
        /// What was decided, bound to what it was decided on.
        tuple: ApprovalTuple,
        /// For an automatic approval: why nobody had to sign.
        auto: Option<String>,
    }
    /// The review ended without approval.
    ReviewClosed = "lumos.review.closed.v1" {
        /// Why.
        cause: Cause,
    }
    /// An approval ended before its time.
    ApprovalRevoked = "lumos.approval.revoked.v1" {
        /// Why.
        cause: Cause,
        /// In the revoker's words.
        reason: Option<Sealed>,
    }

    /// An approval came to its end: what was measured by it is measured anew.
    ApprovalExpired = "lumos.approval.expired.v1" {
        /// When it ended.
        at: Timestamp,
    }

    // ---- bundle ----------------------------------------------------------------------------------
    /// A policy bundle version was published and is frozen.
    BundlePublished = "lumos.bundle.published.v1" {
        /// Name, version and digest; the text is the blob of that digest.
        bundle: BundleRef,
    }

    // ---- system and assignment -------------------------------------------------------------------
    /// A system was defined or changed.
    SystemDefined = "lumos.system.defined.v1" {
        /// Who owns it.
        owner: PersonId,
        /// Its agents.
        agents: BTreeSet<AgentName>,
        /// What each environment does when LUMOS cannot be reached.
        outage: Vec<AgentOutage>,
    }
    /// A system was stopped: everything it asks is denied.
    SystemStopped = "lumos.system.stopped.v1" {
        /// Why.
        reason: Sealed,
    }
    /// A stopped system runs again.
    SystemResumed = "lumos.system.resumed.v1" {
        /// Who asked first; the actor of this entry is the second.
        first: PersonId,
        /// Why.
        reason: Sealed,
    }
    /// A person asked that a stopped system run again; a second must confirm.
    ResumeRequested = "lumos.system.resume_requested.v1" {
        /// Who.
        person: PersonId,
        /// Why.
        reason: Sealed,
    }
    /// What an agent may use in an environment from now on.
    ReleasesAssigned = "lumos.assignment.set.v1" {
        /// The releases, the newest first.
        releases: Vec<Assigned>,
    }

    // ---- keys ------------------------------------------------------------------------------------
    /// The ledger's first key, with which it was begun.
    KeyAdopted = "lumos.key.adopted.v1" {
        /// The verifier key.
        key: LogKey,
        /// What keeps its private half.
        place: KeyPlace,
        /// How it is called there.
        name: String,
    }
    /// A further key was made; it signs nothing yet.
    KeyCreated = "lumos.key.created.v1" {
        /// The verifier key.
        key: LogKey,
        /// What keeps its private half.
        place: KeyPlace,
        /// How it is called there.
        name: String,
    }
    /// Another key signs every checkpoint over this entry.
    KeyRotated = "lumos.key.rotated.v1" {
        /// The key that it replaces; nothing where that one was revoked.
        from: Option<LogKey>,
        /// The key that signs from this entry on.
        to: LogKey,
        /// Until when the replaced key signs beside it.
        overlap_until: Timestamp,
        /// Why.
        reason: Sealed,
    }
    /// A key's word does not count any more for checkpoints that are longer than said.
    KeyRevoked = "lumos.key.revoked.v1" {
        /// The key.
        key: LogKey,
        /// Up to how many entries its checkpoints still count; never beyond this entry.
        good_until: u64,
        /// Why.
        reason: Sealed,
    }

    // ---- proposal --------------------------------------------------------------------------------
    /// One person asked for a change that needs two.
    ProposalMade = "lumos.proposal.made.v1" {
        /// Who asked.
        person: PersonId,
        /// What for.
        change: Governed,
        /// Until when a second person can confirm it.
        until: Timestamp,
        /// SHA-256 of what it would replace, as it was then.
        replaces: Digest,
    }
    /// A second person confirmed; the change stands in the entries before this one.
    ProposalConfirmed = "lumos.proposal.confirmed.v1" {
        /// Who asked first; the actor of this entry is the second.
        first: PersonId,
    }
    /// The proposal was taken back, or somebody said no.
    ProposalDeclined = "lumos.proposal.declined.v1" {
        /// Why.
        reason: Sealed,
    }

    // ---- log review ------------------------------------------------------------------------------
    /// It was set how often the log is examined, and by whom.
    LogReviewSet = "lumos.log_review.set.v1" {
        /// What is asked for from now on; nothing where nobody has to any more.
        schedule: Option<Schedule>,
        /// What was asked for before.
        was: Option<Schedule>,
        /// When it is looked at next.
        next: Option<Timestamp>,
        /// Why.
        reason: Sealed,
    }
    /// The log must be examined.
    LogReviewDue = "lumos.log_review.due.v1" {
        /// Since when.
        since: Timestamp,
        /// When it is overdue.
        overdue: Timestamp,
    }
    /// Nobody signed in time that the log was examined.
    LogReviewOverdue = "lumos.log_review.overdue.v1" {
        /// Since when it is due.
        since: Timestamp,
        /// How many reviews in a row were not signed in time.
        missed: u32,
        /// When a further one is.
        again: Timestamp,
    }
    /// A person signed that they examined a range of the log.
    LogReviewed = "lumos.log_review.signed.v1" {
        /// Who.
        person: PersonId,
        /// The role they signed in.
        role: RoleName,
        /// The index of the first entry of the range, where the last one ended.
        from: u64,
        /// The size of the checkpoint that the range ends at.
        size: u64,
        /// The root hash of that checkpoint.
        root: Digest,
        /// SHA-256 of the record of what there was to examine, as it was shown.
        record: Digest,
        /// When the last entry of the range was written.
        until: Timestamp,
        /// What was found.
        finding: Finding,
        /// In the signer's words.
        reason: Sealed,
        /// What the signature means (21 CFR 11.50).
        meaning: String,
        /// How it was made.
        grade: Grade,
        /// When the next review is due.
        next: Timestamp,
    }

    // ---- readings --------------------------------------------------------------------------------
    /// Somebody read in bulk: who is the actor of the entry.
    ReadingRecorded = "lumos.reading.recorded.v1" {
        /// What they did.
        reading: Reading,
        /// What it was about: a release, a period, a question; free of personal data.
        about: String,
        /// The model that the right to read was held for; absent where it was held everywhere.
        model: Option<ModelName>,
        /// How many entries the ledger had for them.
        size: u64,
        /// For an evidence pack: SHA-256 of its `SHA256SUMS`, which stands for every file of it.
        digest: Option<Digest>,
    }

    // ---- denials ---------------------------------------------------------------------------------
    /// A decision point refused something, for the first time in its window.
    DenialRecorded = "lumos.denial.recorded.v1" {
        /// Which decision.
        decision: String,
        /// The agent that asked.
        agent: AgentRef,
        /// Where.
        environment: Environment,
        /// The model asked for, as given.
        model: String,
        /// The version or digest asked for, as given.
        wanted: String,
        /// The stable code of the reason.
        reason: String,
        /// Whether the denial was applied or only observed.
        mode: Mode,
    }
}
