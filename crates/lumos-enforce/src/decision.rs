//! The decision core: a question about one model in one place, answered with reasons and the next step.

use jiff::{SignedDuration, Timestamp};
use lumos_domain::{
    facts::OutageChoice,
    id::{AgentRef, AssignmentId, Digest, Environment, ModelName, ReleaseId, ReviewId, Version},
    words::Mode,
};
use serde::{Deserialize, Serialize};

use crate::snapshot::{ApprovalEntry, Snapshot};

/// What is asked: may this release run here, and may this agent use it?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The model, as the asker names it.
    pub model: ModelName,
    /// The version, if asked by name.
    #[serde(default)]
    pub version: Option<Version>,
    /// The release digest or a weight file's digest, if asked by content.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Where it is to run.
    pub environment: Environment,
    /// The agent that wants it. Without one only the approval is asked for (DECISIONS 6).
    #[serde(default)]
    pub agent: Option<AgentRef>,
}

/// Yes or no, before the mode is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may run.
    Allow,
    /// It may not.
    Deny,
}

/// How the release was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matched {
    /// By model and version.
    Version,
    /// By the release digest.
    Digest,
    /// By the digest of one of its weight files.
    File,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Names this decision: the same question on the same snapshot has the same id.
    pub decision_id: String,
    /// The ledger size the snapshot covers.
    pub snapshot_version: u64,
    /// What the rules say.
    pub verdict: Verdict,
    /// What is done: in `observe` a denial is recorded, not applied.
    pub effect: Verdict,
    /// The mode in force.
    pub mode: Mode,
    /// A stable code of the reason.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// What to do next; empty for an allow.
    pub next_step: String,
    /// The id of the person to ask, where there is one.
    pub owner: Option<String>,
    /// The release that was recognised.
    pub release: Option<ReleaseId>,
    /// The approval it rests on.
    pub approval: Option<ReviewId>,
    /// How it was recognised.
    pub matched: Option<Matched>,
    /// Whether the snapshot was past its time and the system's outage choice answered.
    pub stale: bool,
    /// Whether the ledger is a sandbox.
    pub sandbox: bool,
}

/// Why not.
struct Denial {
    code: &'static str,
    reason: String,
    next: String,
}

fn deny(code: &'static str, reason: impl Into<String>, next: impl Into<String>) -> Denial {
    Denial {
        code,
        reason: reason.into(),
        next: next.into(),
    }
}

/// Answers `question` from `snapshot` at `now`. Unknown, revoked, expired or mismatched is denied.
#[must_use]
pub fn decide(snapshot: &Snapshot, question: &Question, now: Timestamp) -> Decision {
    let stale = now >= snapshot.valid_until;
    let mut matched = None;
    let answer = staleness(snapshot, question, now, stale)
        .and_then(|()| rules(snapshot, question, now, &mut matched));
    let mode = snapshot.mode(
        question.agent.as_ref().map(|agent| &agent.system),
        &question.environment,
        now,
    );
    let found = matched.as_ref();
    let base = Decision {
        decision_id: String::new(),
        snapshot_version: snapshot.size,
        verdict: Verdict::Allow,
        effect: Verdict::Allow,
        mode,
        code: "allowed".to_owned(),
        reason: "approved, and assigned where an agent is named".to_owned(),
        next_step: String::new(),
        owner: snapshot.owners.get(&question.model).cloned(),
        release: found.map(|(entry, _)| entry.tuple.release.clone()),
        approval: found.map(|(entry, _)| entry.review.clone()),
        matched: found.map(|(_, how)| *how),
        stale,
        sandbox: snapshot.sandbox,
    };
    let decision = match answer {
        Ok(()) => base,
        Err(denial) => Decision {
            verdict: Verdict::Deny,
            effect: effect(mode, denial.code),
            code: denial.code.to_owned(),
            reason: denial.reason,
            next_step: denial.next,
            ..base
        },
    };
    Decision {
        decision_id: decision_id(snapshot, question, &decision.code),
        ..decision
    }
}

/// What is done about a denial. Observe applies none, but for what a person stopped on purpose: a stopped
/// system and a revoked approval stay stopped in every mode (DESIGN promise 7).
fn effect(mode: Mode, code: &str) -> Verdict {
    match mode {
        Mode::Observe if !matches!(code, "system-stopped" | "revoked") => Verdict::Allow,
        Mode::Observe | Mode::Enforce => Verdict::Deny,
    }
}

/// What an old snapshot means: each system's own approved choice, and a stop where none was made.
fn staleness(
    snapshot: &Snapshot,
    question: &Question,
    now: Timestamp,
    stale: bool,
) -> Result<(), Denial> {
    if !stale {
        return Ok(());
    }
    let next = "restore the connection to LUMOS; `lumos check` says what is wrong";
    let system = question
        .agent
        .as_ref()
        .and_then(|agent| snapshot.systems.get(&agent.system));
    let choice = system.and_then(|system| {
        system
            .outage
            .iter()
            .find(|(place, _)| *place == question.environment)
            .map(|(_, choice)| *choice)
    });
    match choice {
        Some(OutageChoice::ContinueHours(hours))
            if snapshot
                .issued_at
                .checked_add(SignedDuration::from_hours(i64::from(hours)))
                .is_ok_and(|end| now < end) =>
        {
            Ok(())
        }
        Some(OutageChoice::DegradeToHuman) => Err(deny(
            "degrade-to-human",
            "LUMOS cannot be reached; this system hands over to a human",
            next,
        )),
        Some(OutageChoice::ContinueHours(_) | OutageChoice::Stop) | None => Err(deny(
            "snapshot-stale",
            "LUMOS cannot be reached and nothing was approved for that",
            next,
        )),
    }
}

type Found<'a> = (&'a ApprovalEntry, Matched);

fn rules<'a>(
    snapshot: &'a Snapshot,
    question: &Question,
    now: Timestamp,
    matched: &mut Option<Found<'a>>,
) -> Result<(), Denial> {
    if !snapshot.environments.contains(&question.environment) {
        let reason = format!("there is no environment `{}`", question.environment);
        return Err(deny(
            "unknown-environment",
            reason,
            "name an environment that exists",
        ));
    }
    if question.version.is_none() && question.digest.is_none() {
        let reason = "neither a version nor a digest was given";
        return Err(deny(
            "no-release-named",
            reason,
            "ask with --version or --digest",
        ));
    }
    let candidates: Vec<Found<'a>> = snapshot
        .approvals
        .iter()
        .filter_map(|entry| recognise(entry, question))
        .collect();
    // The best candidate stands for the reason: one that may run before one that may not.
    let mut denial = unknown(question);
    for found in candidates {
        matched.get_or_insert(found);
        match holds(snapshot, question, found.0, now) {
            Ok(()) => {
                *matched = Some(found);
                return Ok(());
            }
            Err(reason) => denial = reason,
        }
    }
    Err(denial)
}

fn unknown(question: &Question) -> Denial {
    let what = match (&question.version, &question.digest) {
        (Some(version), _) => format!("version `{version}`"),
        (None, Some(digest)) => format!("digest {digest}"),
        (None, None) => "it".to_owned(),
    };
    deny(
        "not-approved",
        format!("{what} of model `{}` holds no approval", question.model),
        "submit it with `lumos submit` and have it approved, or ask the model's owner which version is",
    )
}

/// Whether an approval is about what was asked, and how it was recognised. Asked by both, both must fit.
fn recognise<'a>(entry: &'a ApprovalEntry, question: &Question) -> Option<Found<'a>> {
    let tuple = &entry.tuple;
    if tuple.release.model != question.model {
        return None;
    }
    if question
        .version
        .as_ref()
        .is_some_and(|version| *version != tuple.release.version)
    {
        return None;
    }
    match question.digest {
        None => Some((entry, Matched::Version)),
        Some(digest) if digest == tuple.digest => Some((entry, Matched::Digest)),
        Some(digest) if entry.files.contains(&digest) => Some((entry, Matched::File)),
        Some(_) => None,
    }
}

/// Whether an approval lets the question pass: revocation, expiry, place, agent, assignment.
fn holds(
    snapshot: &Snapshot,
    question: &Question,
    entry: &ApprovalEntry,
    now: Timestamp,
) -> Result<(), Denial> {
    let tuple = &entry.tuple;
    let release = &tuple.release;
    if let Some(cause) = &entry.revoked {
        let reason = format!("the approval of `{release}` ended: {cause}");
        return Err(deny(
            "revoked",
            reason,
            "use the release that replaced it, or submit a new version",
        ));
    }
    if now >= tuple.expires {
        let reason = format!("the approval of `{release}` expired at {}", tuple.expires);
        return Err(deny("expired", reason, "have the release reviewed again"));
    }
    if tuple.sandbox != snapshot.sandbox {
        let reason = format!("`{release}` was approved in a sandbox that was left");
        return Err(deny(
            "sandbox-left",
            reason,
            "have the release reviewed by the organisation",
        ));
    }
    if tuple.environment != question.environment {
        let reason = format!(
            "`{release}` is approved for `{}`, not for `{}`",
            tuple.environment, question.environment
        );
        let next = format!(
            "ask for the gate: `lumos release promote {release} --env {}`",
            question.environment
        );
        return Err(deny("other-environment", reason, next));
    }
    match &question.agent {
        Some(agent) => assigned(snapshot, agent, entry, now),
        None => Ok(()),
    }
}

fn assigned(
    snapshot: &Snapshot,
    agent: &AgentRef,
    entry: &ApprovalEntry,
    now: Timestamp,
) -> Result<(), Denial> {
    let tuple = &entry.tuple;
    let system = snapshot
        .systems
        .get(&agent.system)
        .filter(|system| system.agents.contains(&agent.agent))
        .ok_or_else(|| {
            let reason = format!("there is no governed agent `{agent}`");
            deny(
                "unknown-agent",
                reason,
                "define it with `lumos system apply`",
            )
        })?;
    if system.stopped {
        let reason = format!("system `{}` is stopped", agent.system);
        return Err(deny(
            "system-stopped",
            reason,
            "two people can resume it: `lumos system resume`",
        ));
    }
    if !tuple.agents.contains(agent) {
        let reason = format!("`{}` is not approved for agent `{agent}`", tuple.release);
        return Err(deny(
            "other-agent",
            reason,
            "have it reviewed for this agent",
        ));
    }
    let id = AssignmentId {
        system: agent.system.clone(),
        agent: agent.agent.clone(),
        environment: tuple.environment.clone(),
    };
    let entries = snapshot.assignments.iter().find(|a| a.assignment == id);
    let usable = entries
        .into_iter()
        .flat_map(|a| &a.releases)
        .any(|assigned| {
            assigned.digest == tuple.digest
                && assigned.approval == entry.review
                && assigned.until.is_none_or(|until| now < until)
        });
    if usable {
        return Ok(());
    }
    let reason = format!(
        "`{}` is approved but not assigned to `{agent}`",
        tuple.release
    );
    Err(deny(
        "not-assigned",
        reason,
        "assign it with `lumos assign`, or use the release that is assigned",
    ))
}

/// SHA-256 over the snapshot version, the question and the answer's code, cut to 80 bits.
fn decision_id(snapshot: &Snapshot, question: &Question, code: &str) -> String {
    let inputs = serde_json::to_string(question).unwrap_or_default();
    let digest =
        Digest::of(format!("{} {} {code} {inputs}", snapshot.origin, snapshot.size).as_bytes());
    format!("d-{}", &digest.hex()[..20])
}

#[cfg(test)]
mod tests;
