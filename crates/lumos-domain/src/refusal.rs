//! Why a command was refused: an answer with its reason and the next step, not a failure.

use crate::{
    actor::Right,
    id::{Digest, Environment},
    words::{Depth, Grade, Matter},
};

/// A duty that keeps a person from approving (DESIGN promise 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// They wrote the release.
    Author,
    /// They submitted it.
    Submitter,
    /// They own its data.
    DataOwner,
}

impl std::fmt::Display for Duty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Author => "its author",
            Self::Submitter => "its submitter",
            Self::DataOwner => "the owner of its data",
        })
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident $({ $($field:ident: $ty:ty),* })? = $code:literal, $message:literal;)*) => {
        /// A command was understood and refused.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[expect(missing_docs, reason = "the message of each refusal names and explains its fields")]
        pub enum Refusal {
            $($(#[$doc])* #[error($message)] $variant $({ $($field: $ty),* })?,)*
        }

        impl Refusal {
            /// Every code, for the documentation test.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable code of this refusal, a page in `docs/errors/`.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $code,)* }
            }
        }
    };
}

refusals! {
    /// The caller lacks a right.
    NotAllowed { right: Right } = "not-allowed",
        "this needs the right `{right}`, which the caller does not hold here; ask someone with `manage-people` to grant a role that carries it";
    /// Only a person may do this.
    NotAPerson = "not-a-person",
        "only a signed-in person can do this; agents and services never sign";
    /// The actor was suspended or does not exist.
    Suspended = "suspended", "this account is suspended or unknown";
    /// The ledger is already founded.
    AlreadyFounded = "already-founded", "this ledger is already founded; a signed-in person changes it from now on";
    /// The ledger is not founded.
    NotFounded = "not-founded", "this ledger has no founders yet";
    /// Founders are missing or doubled.
    BadFounders = "bad-founders", "an organisation is founded by two different people, a sandbox by one";
    /// Something is missing.
    Unknown { what: &'static str, name: String } = "unknown-thing", "there is no {what} `{name}`";
    /// Something exists already.
    Exists { what: &'static str, name: String } = "already-exists", "there is already a {what} `{name}`";
    /// The rules given contradict themselves.
    BadRules { problem: String } = "bad-rules", "these rules cannot work: {problem}";
    /// An observe mode without or with too late an end.
    ObserveTooLong = "observe-too-long",
        "`observe` needs an end within 90 days, after which the mode is `enforce`";
    /// A token would reach too far or live too long.
    BadToken { problem: String } = "bad-token", "this token cannot be issued: {problem}";
    /// Not in a sandbox.
    NotASandbox = "not-a-sandbox", "this is no sandbox";
    /// The release has other bytes already.
    DigestConflict { known: Digest, found: Digest } = "digest-conflict",
        "this version is already identified as {known}; other bytes ({found}) need a new version";
    /// No digest yet.
    NotIdentified = "not-identified", "the artifacts of this release are not hashed yet; the release scanner does that next";
    /// No report for this environment.
    NoReport { environment: Environment } = "no-report",
        "there is no compliance report of this release for `{environment}` yet; the compliance checker makes it next";
    /// The report does not cover all evidence.
    ReportOutdated { covers: u64, now: u64 } = "report-outdated",
        "the report covers evidence up to {covers}, but there is evidence up to {now}; the compliance checker makes a new one";
    /// The report was judged for another depth.
    ReportForOtherDepth { judged: Depth, now: Depth } = "report-for-other-depth",
        "the report was judged for depth `{judged}`, but depth is now `{now}`; the compliance checker makes a new one";
    /// The report was made in the sandbox.
    ReportFromSandbox = "report-from-sandbox",
        "the report was made in a sandbox that was left; the compliance checker makes a new one";
    /// The report does not use the bundles that bind the model.
    ReportLacksBundle { bundle: String } = "report-lacks-bundle",
        "the report does not hold the release against `{bundle}`, which binds this model";
    /// The report is older than the gate allows.
    ReportTooOld { days: u32 } = "report-too-old", "the report is older than the {days} days this gate allows";
    /// The release was withdrawn.
    Withdrawn = "withdrawn", "this release was withdrawn";
    /// The review is not open.
    ReviewNotOpen = "review-not-open", "this review is closed or was never opened";
    /// The record changed since the signer saw it.
    StaleRecord { signed: Digest, now: Digest } = "stale-record",
        "the record changed since you saw it ({signed} is now {now}); read it again, then sign";
    /// The person signed this record already.
    AlreadySigned = "already-signed", "you have signed this record already";
    /// The signer holds no role that a free slot asks for.
    NoSlot { roles: String } = "no-slot", "no free slot is yours; this review still waits for: {roles}";
    /// Separation of duties.
    SeparationOfDuties { duty: Duty } = "separation-of-duties",
        "you cannot approve this release because you are {duty}; someone else must sign";
    /// An author is not known.
    UnclaimedAuthor { open: usize } = "unclaimed-author",
        "{open} author claim(s) of this release are unresolved; a signed-in person must say `lumos release claim` first";
    /// The slot needs a better signature.
    GradeTooLow { needed: Grade } = "grade-too-low",
        "this slot needs a signature of grade `{needed}`: sign again with your password";
    /// Blocking rules.
    Blocked { rules: String } = "blocked",
        "nobody can approve this release while these rules fail: {rules}; mend them, then a new report is made";
    /// A gate criterion is not met.
    GateClosed { environment: Environment, problem: String } = "gate-closed",
        "the gate to `{environment}` is closed: {problem}";
    /// A test release can never be approved.
    TestRelease = "test-release", "this is a test release; it can be reviewed, never approved";
    /// The approval does not hold.
    NoApproval { problem: String } = "no-approval", "there is no approval to rest on: {problem}";
    /// Approved already, so revoke.
    AlreadyApproved = "already-approved", "this release is approved; revoke the approval instead of withdrawing";
    /// The same person cannot confirm.
    NeedsSecondPerson = "needs-second-person", "this needs a second person; you asked for it yourself";
    /// Nobody confirmed it in time.
    ProposalExpired = "proposal-expired", "nobody confirmed this within 14 days; propose it again";
    /// What it would replace is no longer what it was.
    ProposalOutdated = "proposal-outdated",
        "what this would replace has changed since it was proposed; look at it again and propose it anew";
    /// Its proposer lost the right to it.
    ProposerGone = "proposer-gone", "whoever proposed this may no longer ask for it; propose it yourself";
    /// The second founder could confirm nothing.
    FounderCannotGovern = "founder-cannot-govern",
        "the second founder needs a role with `govern` and a password of their own first; otherwise nobody could confirm what needs two people";
    /// Evidence that only the release scanner makes.
    OwnEvidence { kind: String } = "own-evidence",
        "evidence of kind `{kind}` is made by LUMOS's own scanner only; the artifacts speak for themselves";
    /// Evidence of a kind that somebody else records.
    ReservedEvidence { problem: String } = "reserved-evidence",
        "{problem}; who governs can say which agent records what, with a second person";
    /// Nobody gives themselves a role.
    OwnRole = "own-role", "nobody grants a role to themselves; ask somebody else who holds `manage-people`";
    /// The password is known to somebody else.
    PasswordKnown = "password-known",
        "your password was set by somebody else; change it first: until then it may be somebody else who asks";
    /// The submission names artifacts that are not this version's.
    WrongSource { problem: String } = "wrong-source", "this submission cannot be taken: {problem}";
    /// The key's word was taken away.
    KeyRevoked = "key-revoked", "this key was revoked; create another one and rotate to it";
    /// The key signed before.
    KeyUsed = "key-used", "this key signed the ledger before and was replaced; create another one and rotate to it";
    /// Nobody has to examine the log here.
    NoLogReview = "no-log-review", "nobody is asked to examine the log here; who governs can say every how many days, and which role";
    /// A range of the log that cannot be signed.
    LogRange { problem: String } = "log-range", "this range of the log cannot be signed: {problem}";
    /// The signer changed the house in the range.
    OwnActs { what: Matter, entry: u64 } = "own-acts",
        "you cannot sign for these entries: entry {entry} is yours, about {what}; somebody else who holds the role must examine it";
    /// The account to erase can still act.
    StillActive = "still-active", "this account can still act; suspend it first, then ask that it be erased";
    /// Nobody erases themselves.
    OwnErasure = "own-erasure", "nobody asks for their own erasure here; somebody else who holds `manage-people` does, and a second person confirms";
    /// The person was erased.
    Erased = "erased-person", "this person was erased; nothing can be changed about the account any more";
    /// A free-text field is empty.
    Empty { what: &'static str } = "empty-text", "the {what} is empty";
}
