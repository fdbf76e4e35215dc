//! The shapes of a release in `pack.json`, in the order an auditor reads.

use jiff::Timestamp;
use lumos_domain::{
    id::{Digest, Environment, ReleaseId, ReviewId},
    words::PartKind,
};
use serde::{Deserialize, Serialize};

use super::content::{Cited, Text, Who};

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }
    )*};
}

shapes! {
    /// A release in full.
    Dossier {
        /// Which.
        release: ReleaseId,
        /// Its digest, once known.
        digest: Option<Digest>,
        /// Its manifest.
        manifest: Option<Cited>,
        /// Whether it only tests the flow and is never approved.
        test: bool,
        /// Its parts, as the manifest lists them.
        parts: Vec<PartLine>,
        /// How many more there are.
        more_parts: usize,
        /// How it came.
        request: Option<Request>,
        /// The model it is a version of.
        model: Model,
        /// Claims about its bytes: scans, card, licence, evaluations.
        evidence: Vec<Evidence>,
        /// What policy found, one report after the other.
        reports: Vec<Report>,
        /// The human part, one round after the other.
        reviews: Vec<Review>,
        /// What followed from approvals: what agents may use, what registries were told.
        followed: Vec<Step>,
        /// What else happened to it.
        other: Vec<Step>,
    }
    /// A file or piece of configuration of a release.
    PartLine {
        /// Where.
        path: String,
        /// What of the model it is.
        kind: PartKind,
        /// Bytes.
        size: u64,
        /// SHA-256.
        sha256: Digest,
    }
    /// How a release came.
    Request {
        /// The entry.
        entry: u64,
        /// When.
        time: Timestamp,
        /// Who said so.
        by: Who,
        /// The registry it is in.
        registry: String,
        /// Its name there.
        name: String,
        /// Its version there.
        version: String,
        /// The environment it asks for.
        environment: Environment,
        /// The agents it is for.
        agents: Vec<String>,
        /// The signed-in person who submitted it.
        submitter: Option<Who>,
        /// The kind of change as declared.
        declared: Option<PartKind>,
        /// Authors as stated, and who took each claim.
        authors: Vec<Author>,
    }
    /// An author as a registry or submitter states it.
    Author {
        /// The number of the claim.
        claim: u32,
        /// As stated.
        stated: Text,
        /// The person who said: this is me.
        person: Option<Who>,
        /// The entry in which they did.
        entry: Option<u64>,
    }
    /// The model and its risk.
    Model {
        /// Its owner.
        owner: Option<Who>,
        /// Who owns its data.
        data_owner: Option<Who>,
        /// What it is for.
        purpose: Option<Text>,
        /// Frameworks that bind it.
        frameworks: Vec<String>,
        /// Policy bundles it is held against.
        policies: Vec<String>,
        /// Its materiality over time, the latest last.
        tiers: Vec<Tier>,
        /// The entries this is known from.
        entries: Vec<u64>,
    }
    /// The materiality of a model from an entry on.
    Tier {
        /// The entry.
        entry: u64,
        /// When.
        time: Timestamp,
        /// Who set it.
        by: Who,
        /// The tier.
        tier: String,
        /// Why.
        rationale: Text,
    }
    /// A claim about the bytes of a release.
    Evidence {
        /// The entry.
        entry: u64,
        /// When.
        time: Timestamp,
        /// The kind of claim.
        kind: String,
        /// Who made it.
        producer: String,
        /// The claim.
        claim: Cited,
        /// What it says, in short.
        says: Vec<(String, String)>,
    }
    /// What policy found.
    Report {
        /// The entry.
        entry: u64,
        /// When it was recorded.
        time: Timestamp,
        /// The instant the rules were judged as of.
        as_of: Timestamp,
        /// For which environment.
        environment: Environment,
        /// For which depth of review.
        depth: String,
        /// The score in percent.
        score: Option<String>,
        /// The rules that block.
        blocking: Vec<String>,
        /// The bundles: name, version, text.
        bundles: Vec<(String, String, Cited)>,
        /// The evidence that was read.
        evidence: Vec<Digest>,
        /// The whole report.
        report: Cited,
        /// Each result; only those that are no passes where the whole report is not here.
        results: Vec<RuleLine>,
        /// Whether the whole report is here.
        whole: bool,
    }
    /// The result of one rule.
    RuleLine {
        /// The rule.
        rule: String,
        /// What it asks.
        title: String,
        /// The result.
        result: String,
        /// How severe a failure is.
        severity: String,
        /// What a failure does.
        enforcement: String,
        /// In words.
        message: String,
        /// The clauses it speaks to.
        controls: Vec<String>,
    }
    /// One round of review.
    Review {
        /// Which.
        review: ReviewId,
        /// Its state at the end.
        state: String,
        /// The record as it was decided upon at the end.
        record: Option<Record>,
        /// The votes, each with its reason.
        votes: Vec<Vote>,
        /// What else happened in it.
        steps: Vec<Step>,
        /// The decision.
        approval: Option<Approval>,
    }
    /// What people signed.
    Record {
        /// The entry that it stands in.
        entry: u64,
        /// SHA-256 of its canonical form: what every vote names.
        hash: Digest,
        /// The release digest.
        digest: Digest,
        /// The review depth.
        depth: String,
        /// Why it is more than the matrix says.
        raised_by: Vec<String>,
        /// The model's materiality.
        model_tier: String,
        /// How much the change may change.
        change_tier: String,
        /// The gravest kind of change.
        change: Option<PartKind>,
        /// The release it was compared with.
        running: Option<Digest>,
        /// What differs, as far as both manifests are here.
        differences: Vec<(String, String, PartKind)>,
        /// The score.
        score: Option<String>,
        /// The report.
        report: Digest,
        /// Who must sign: role, how many, grade.
        slots: Vec<(String, u32, String)>,
        /// The rules that block.
        blocking: Vec<String>,
        /// Whether it was decided in a sandbox.
        sandbox: bool,
    }
    /// A signature.
    Vote {
        /// The entry.
        entry: u64,
        /// When.
        time: Timestamp,
        /// Who.
        by: Who,
        /// The role it fills.
        role: Option<String>,
        /// Approve, reject or request changes.
        verdict: String,
        /// Why.
        reason: Text,
        /// What it means.
        meaning: String,
        /// How it was made.
        grade: String,
        /// The hash of the record that was signed.
        record: Digest,
        /// Whether that is the record as it stood at the end.
        counts: bool,
    }
    /// The decision and what it is bound to.
    Approval {
        /// The entry.
        entry: u64,
        /// When.
        time: Timestamp,
        /// The release digest.
        digest: Digest,
        /// The environment.
        environment: Environment,
        /// The agents.
        agents: Vec<String>,
        /// The report.
        report: Digest,
        /// When it ends.
        expires: Timestamp,
        /// Whether it was given in a sandbox.
        sandbox: bool,
        /// Why nobody had to sign.
        auto: Option<String>,
        /// How it ended before its time.
        revoked: Option<Step>,
    }
    /// Something that happened.
    Step {
        /// The entry.
        entry: u64,
        /// When.
        time: Timestamp,
        /// Who.
        by: Who,
        /// What, in words.
        what: String,
        /// Said with it.
        said: Option<Text>,
    }
}
