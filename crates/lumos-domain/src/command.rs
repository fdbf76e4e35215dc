//! Everything that can be asked of LUMOS, and the one function that answers.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    actor::{Actor, Caller, Grant, Right},
    clock,
    erasure::{self, ERASURE},
    event::{AcquisitionFailed, DenialRecorded, EvidenceRecorded, ReadingRecorded},
    facts::{Cause, ReportFacts},
    id::{
        AgentRef, AssignmentId, Digest, Environment, ModelName, PersonId, ProposalId, ReleaseId,
        ReviewId, SystemName, TokenId,
    },
    keys::{self, AddKey, RevokeKey},
    log_review::{self, SignLogReview},
    org::{self, Genesis},
    person::{self, AddPerson, authorise},
    proposal::{self, Governed, confirm},
    refusal::Refusal,
    release::{self, DetectCandidate, IdentifyRelease},
    retention::{self, SetHold},
    review::{self, Sign},
    seal::Sealed,
    stream::Stream,
    system::{self, PromotionOutcome},
    world::{Decided, Halt, World},
};

/// A command. Free text in it is sealed already.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each command is named as its event, whose fields are documented"
)]
pub enum Command {
    Found(Genesis),
    RecordStart {
        settings: Digest,
        software: String,
    },
    NameClockSource {
        source: String,
    },
    RecordClockStep {
        expected: Timestamp,
        found: Timestamp,
    },
    RecordReread {
        size: u64,
    },
    LeaveSandbox {
        founder: PersonId,
    },
    Govern(Governed),
    ConfirmProposal {
        proposal: ProposalId,
        /// SHA-256 of the half of a secret that the second person adds, sealed; for what needs one.
        half: Option<Sealed>,
    },
    DeclineProposal {
        proposal: ProposalId,
        reason: Sealed,
    },

    AddPerson(AddPerson),
    SuspendPerson {
        person: PersonId,
        reason: Sealed,
    },
    RevokeRole {
        person: PersonId,
        grant: Grant,
    },
    RevokeToken {
        person: PersonId,
        token: TokenId,
    },
    WithdrawErasure {
        person: PersonId,
        reason: Sealed,
    },
    SetHold(SetHold),

    AdoptKey(AddKey),
    CreateKey(AddKey),
    RevokeKey(RevokeKey),

    DetectCandidate(DetectCandidate),
    IdentifyRelease(IdentifyRelease),
    RecordAcquisitionFailure {
        release: ReleaseId,
        failure: AcquisitionFailed,
    },
    RecordEvidence {
        release: ReleaseId,
        evidence: EvidenceRecorded,
    },
    ClaimAuthorship {
        release: ReleaseId,
        claim: u32,
    },
    WithdrawRelease {
        release: ReleaseId,
        reason: Sealed,
    },
    RequestGate {
        release: ReleaseId,
        environment: Environment,
        agents: BTreeSet<AgentRef>,
    },
    RecordReport {
        release: ReleaseId,
        report: ReportFacts,
    },

    OpenReview {
        release: ReleaseId,
        environment: Environment,
    },
    Sign(Sign),
    Remark {
        review: ReviewId,
        text: Sealed,
    },
    RevokeApproval {
        review: ReviewId,
        cause: Cause,
        reason: Option<Sealed>,
    },
    TimerDue {
        stream: Stream,
        key: String,
    },

    StopSystem {
        system: SystemName,
        reason: Sealed,
    },
    ResumeSystem {
        system: SystemName,
        reason: Sealed,
    },
    Assign {
        assignment: AssignmentId,
        approval: ReviewId,
    },
    IntendPromotion {
        approval: ReviewId,
    },
    SettlePromotion {
        release: ReleaseId,
        outcome: PromotionOutcome,
    },
    RecordDenial(DenialRecorded),
    RecordReading(ReadingRecorded),
    SignLogReview(SignLogReview),
}

impl From<Governed> for Command {
    fn from(change: Governed) -> Self {
        Self::Govern(change)
    }
}

/// Answers `command` as of `now`: the events that follow, none when everything is so already.
///
/// # Errors
/// [`Halt::Need`] when a stream must be loaded first, [`Halt::Refused`] when the answer is no.
pub fn decide(
    world: &World,
    caller: &Caller,
    command: &Command,
    now: Timestamp,
) -> Result<Decided, Halt> {
    allowed(world, caller, command)?;
    let decided = consequences(world, caller, command, now)?;
    // What is written is also read: the versions that the entries continue must be known.
    for (stream, _) in &decided {
        world.version(stream)?;
    }
    Ok(decided)
}

/// Whether the caller may ask this at all.
fn allowed(world: &World, caller: &Caller, command: &Command) -> Result<(), Halt> {
    use Command as C;
    let everywhere = |right| authorise(world, caller, right, None);
    let on_model = |right, model: &ModelName| authorise(world, caller, right, Some(model));
    match command {
        C::Found(_) => only(caller, &Actor::Genesis),
        C::RecordStart { .. }
        | C::NameClockSource { .. }
        | C::RecordClockStep { .. }
        | C::RecordReread { .. }
        | C::AdoptKey(_)
        | C::TimerDue { .. } => only(caller, &Actor::Clock),
        C::LeaveSandbox { .. } => everywhere(Right::Govern),
        C::Govern(change) => change.allowed(world, caller),
        // Who may depends on what is proposed.
        C::ConfirmProposal { .. }
        | C::DeclineProposal { .. }
        | C::Sign(_)
        | C::SignLogReview(_) => person::signer(world, caller).map(|_| ()),
        // Nobody has to wait for a second person to stop a key that was stolen.
        C::SetHold(_) | C::CreateKey(_) | C::RevokeKey(_) => everywhere(Right::Govern),
        C::AddPerson(_)
        | C::SuspendPerson { .. }
        | C::RevokeRole { .. }
        | C::WithdrawErasure { .. } => everywhere(Right::ManagePeople),
        C::RevokeToken { person, .. } => person::own_or_managed(world, caller, person),
        C::DetectCandidate(detect) => {
            let agent = matches!(caller.actor, Actor::Agent(_));
            on_model(
                if agent { Right::Detect } else { Right::Submit },
                &detect.release.model,
            )
        }
        C::IdentifyRelease(_) | C::RecordAcquisitionFailure { .. } => everywhere(Right::Detect),
        C::RecordEvidence { release, .. } => match caller.actor {
            Actor::Agent(_) => everywhere(Right::Detect),
            _ => may_add_evidence(world, caller, &release.model),
        },
        C::ClaimAuthorship { release, .. } => {
            person::signer(world, caller)?;
            // A claim keeps its author from signing: it is not for an account that could sign nothing.
            on_model(Right::Submit, &release.model)
        }
        C::WithdrawRelease { release, .. } | C::RequestGate { release, .. } => {
            on_model(Right::Submit, &release.model)
        }
        C::RecordReport { .. } => everywhere(Right::Evaluate),
        C::OpenReview { .. } | C::IntendPromotion { .. } | C::SettlePromotion { .. } => {
            everywhere(Right::Orchestrate)
        }
        C::Remark { review, .. } => on_model(Right::Read, &review.model),
        C::RevokeApproval { review, .. } => match caller.actor {
            Actor::Agent(_) => everywhere(Right::Orchestrate),
            _ => on_model(Right::Revoke, &review.model),
        },
        C::StopSystem { .. } | C::ResumeSystem { .. } => everywhere(Right::Operate),
        C::Assign { approval, .. } => match caller.actor {
            Actor::Agent(_) => everywhere(Right::Orchestrate),
            _ => on_model(Right::Operate, &approval.model),
        },
        C::RecordDenial(_) => everywhere(Right::Observe),
        C::RecordReading(reading) => authorise(world, caller, Right::Read, reading.model.as_ref()),
    }
}

/// What the server says of itself, nobody else says.
fn only(caller: &Caller, actor: &Actor) -> Result<(), Halt> {
    if caller.actor == *actor {
        return Ok(());
    }
    let right = Right::Govern;
    Err(Refusal::NotAllowed { right }.into())
}

/// Whoever brings releases may say more about them; others need a right of their own.
fn may_add_evidence(world: &World, caller: &Caller, model: &ModelName) -> Result<(), Halt> {
    match authorise(world, caller, Right::AddEvidence, Some(model)) {
        Err(Halt::Refused(_)) => authorise(world, caller, Right::Submit, Some(model)),
        answer => answer,
    }
}

fn consequences(
    world: &World,
    caller: &Caller,
    command: &Command,
    now: Timestamp,
) -> Result<Decided, Halt> {
    use Command as C;
    match command {
        C::Found(genesis) => org::found(world, genesis),
        C::RecordStart { settings, software } => org::record_start(world, *settings, software),
        C::NameClockSource { source } => clock::name_source(world, source),
        C::RecordClockStep { expected, found } => clock::record_step(world, *expected, *found),
        C::RecordReread { size } => org::record_reread(world, *size),
        C::LeaveSandbox { founder } => org::leave_sandbox(world, founder),
        C::Govern(change) => proposal::govern(world, caller, change, now),
        C::ConfirmProposal { proposal: id, half } => confirm(world, caller, id, *half, now),
        C::DeclineProposal { proposal, reason } => {
            proposal::decline(world, caller, proposal, *reason)
        }
        C::AddPerson(add) => person::add(world, add),
        C::SuspendPerson { person, reason } => person::suspend(world, person, *reason),
        C::RevokeRole { person, grant } => person::revoke_grant(world, person, grant),
        C::RevokeToken { person, token } => person::revoke_token(world, person, token),
        C::WithdrawErasure { person, reason } => erasure::withdraw(world, person, *reason),
        C::SetHold(set) => retention::hold(world, set),
        C::AdoptKey(first) => keys::adopt(world, first),
        C::CreateKey(new) => keys::create(world, new),
        C::RevokeKey(revoke) => keys::revoke(world, revoke),
        C::DetectCandidate(detect) => release::detect(world, caller, detect),
        C::IdentifyRelease(identify) => release::identify(world, caller, identify),
        C::RecordAcquisitionFailure { release, failure } => {
            release::acquisition_failed(world, release, failure)
        }
        C::RecordEvidence { release, evidence } => {
            release::record_evidence(world, caller, release, evidence)
        }
        C::ClaimAuthorship { release, claim } => release::claim(world, caller, release, *claim),
        C::WithdrawRelease { release, reason } => release::withdraw(world, release, *reason, now),
        C::RequestGate {
            release,
            environment,
            agents,
        } => release::request_gate(world, release, environment, agents, now),
        C::RecordReport { release, report } => release::record_report(world, release, report),
        C::OpenReview {
            release,
            environment,
        } => review::open(world, release, environment, now),
        C::Sign(sign) => review::sign(world, caller, sign, now),
        C::Remark { review, text } => review::remark(world, review, *text),
        C::RevokeApproval {
            review,
            cause,
            reason,
        } => review::revoke(world, caller, review, cause, *reason),
        C::TimerDue { stream, key } => match stream {
            Stream::Person(person) if key == ERASURE => erasure::timer_due(world, person, now),
            Stream::LogReview => log_review::timer_due(world, now),
            _ => review::timer_due(world, stream, key, now),
        },
        C::StopSystem { system, reason } => system::stop(world, system, *reason),
        C::ResumeSystem { system, reason } => system::resume(world, caller, system, *reason),
        C::Assign {
            assignment,
            approval,
        } => system::assign(world, caller, assignment, approval, now),
        C::IntendPromotion { approval } => system::intend_promotion(world, approval, now),
        C::SettlePromotion { release, outcome } => {
            system::settle_promotion(world, release, outcome)
        }
        C::RecordDenial(denial) => Ok(denied(denial)),
        C::RecordReading(reading) => recorded(caller, reading),
        C::SignLogReview(sign) => log_review::sign(world, caller, sign, now),
    }
}

/// A denial in the stream of the system that was denied.
fn denied(denial: &DenialRecorded) -> Decided {
    let stream = Stream::Denials(denial.agent.system.clone());
    vec![(stream, denial.clone().into())]
}

/// A reading in the stream of whoever read.
fn recorded(caller: &Caller, reading: &ReadingRecorded) -> Result<Decided, Halt> {
    match &caller.actor {
        Actor::Person(reader) | Actor::Service(reader) => {
            let stream = Stream::Readings(reader.clone());
            Ok(vec![(stream, reading.clone().into())])
        }
        Actor::Genesis | Actor::Clock | Actor::Agent(_) => Err(Refusal::NotAPerson.into()),
    }
}
