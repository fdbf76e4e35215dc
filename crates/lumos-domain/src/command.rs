//! Everything that can be asked of LUMOS, and the one function that answers.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    actor::{Actor, Caller, Grant, Right},
    event::{AcquisitionFailed, DenialRecorded, EvidenceRecorded},
    facts::{Binding, BundleRef, Cause, ReportFacts},
    id::{
        AgentRef, AssignmentId, Digest, Environment, ModelName, PersonId, ReleaseId, ReviewId,
        RoleName, SystemName, TokenId,
    },
    model::{self, RegisterModel},
    org::{self, Genesis, SetMode},
    person::{self, AddPerson, IssueToken, authorise},
    refusal::Refusal,
    release::{self, DetectCandidate, IdentifyRelease},
    review::{self, Sign},
    rules::{Gate, ReviewRules},
    seal::Sealed,
    stream::Stream,
    system::{self, DefineSystem, PromotionOutcome},
    words::ModelTier,
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
    LeaveSandbox {
        founder: PersonId,
    },
    DefineGate(Gate),
    SetReviewRules(ReviewRules),
    DefineRole {
        role: RoleName,
        rights: BTreeSet<Right>,
    },
    SetMode(SetMode),

    AddPerson(AddPerson),
    SuspendPerson {
        person: PersonId,
        reason: Sealed,
    },
    GrantRole {
        person: PersonId,
        grant: Grant,
    },
    RevokeRole {
        person: PersonId,
        grant: Grant,
    },
    SetCredential {
        person: PersonId,
        hash: Sealed,
    },
    IssueToken(IssueToken),
    RevokeToken {
        person: PersonId,
        token: TokenId,
    },

    RegisterModel(RegisterModel),
    SetModelTier {
        model: ModelName,
        tier: ModelTier,
        rationale: Sealed,
    },
    BindModel {
        model: ModelName,
        binding: Binding,
    },
    PublishBundle(BundleRef),

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

    DefineSystem(DefineSystem),
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
        C::Found(_) if caller.actor == Actor::Genesis => Ok(()),
        C::RecordStart { .. } | C::TimerDue { .. } if caller.actor == Actor::Clock => Ok(()),
        C::Found(_) | C::RecordStart { .. } | C::TimerDue { .. } => Err(Refusal::NotAllowed {
            right: Right::Govern,
        }
        .into()),
        C::LeaveSandbox { .. }
        | C::DefineGate(_)
        | C::SetReviewRules(_)
        | C::DefineRole { .. }
        | C::SetMode(_)
        | C::DefineSystem(_) => everywhere(Right::Govern),
        C::AddPerson(_) | C::SuspendPerson { .. } | C::GrantRole { .. } | C::RevokeRole { .. } => {
            everywhere(Right::ManagePeople)
        }
        C::SetCredential { person, .. } | C::RevokeToken { person, .. } => {
            own_or_managed(world, caller, person)
        }
        C::IssueToken(issue) => may_issue(world, caller, &issue.person),
        C::RegisterModel(register) => on_model(Right::ManageModels, &register.model),
        C::SetModelTier { model, .. } | C::BindModel { model, .. } => {
            on_model(Right::ManageModels, model)
        }
        C::PublishBundle(_) => everywhere(Right::PublishPolicy),
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
            _ => on_model(Right::Submit, &release.model),
        },
        C::ClaimAuthorship { .. } | C::Sign(_) => person::human(world, caller).map(|_| ()),
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
    }
}

/// One's own password and tokens need no right; anybody else's need `manage-people`.
fn own_or_managed(world: &World, caller: &Caller, whose: &PersonId) -> Result<(), Halt> {
    if caller.person() == Some(whose) && caller.limited_to.is_none() {
        return person::human(world, caller).map(|_| ());
    }
    authorise(world, caller, Right::ManagePeople, None)
}

/// Nobody else can hold a token that acts as a person; a service's is issued by who manages people.
fn may_issue(world: &World, caller: &Caller, whose: &PersonId) -> Result<(), Halt> {
    if world.person(whose)?.service {
        return authorise(world, caller, Right::ManagePeople, None);
    }
    if caller.person() == Some(whose) && caller.limited_to.is_none() {
        return person::human(world, caller).map(|_| ());
    }
    let problem = "only the person it acts as can ask for it, signed in".to_owned();
    Err(Refusal::BadToken { problem }.into())
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
        C::LeaveSandbox { founder } => org::leave_sandbox(world, founder),
        C::DefineGate(gate) => org::define_gate(world, gate),
        C::SetReviewRules(rules) => org::set_rules(world, rules),
        C::DefineRole { role, rights } => org::define_role(world, role, rights),
        C::SetMode(set) => org::set_mode(world, set, now),
        C::AddPerson(add) => person::add(world, add),
        C::SuspendPerson { person, reason } => person::suspend(world, person, *reason),
        C::GrantRole { person, grant } => person::grant(world, person, grant),
        C::RevokeRole { person, grant } => person::revoke_grant(world, person, grant),
        C::SetCredential { person, hash } => person::set_credential(world, caller, person, *hash),
        C::IssueToken(issue) => person::issue_token(world, issue, now),
        C::RevokeToken { person, token } => person::revoke_token(world, person, token),
        C::RegisterModel(register) => model::register(world, register),
        C::SetModelTier {
            model,
            tier,
            rationale,
        } => model::set_tier(world, model, *tier, *rationale),
        C::BindModel { model, binding } => model::bind(world, model, binding),
        C::PublishBundle(bundle) => model::publish_bundle(world, bundle),
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
        } => release::request_gate(world, release, environment, agents),
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
        C::TimerDue { stream, key } => review::timer_due(world, stream, key, now),
        C::DefineSystem(define) => system::define(world, define),
        C::StopSystem { system, reason } => system::stop(world, system, *reason),
        C::ResumeSystem { system, reason } => system::resume(world, caller, system, *reason),
        C::Assign {
            assignment,
            approval,
        } => system::assign(world, assignment, approval, now),
        C::IntendPromotion { approval } => system::intend_promotion(world, approval, now),
        C::SettlePromotion { release, outcome } => {
            system::settle_promotion(world, release, outcome)
        }
        C::RecordDenial(denial) => Ok(vec![(
            Stream::Denials(denial.agent.system.clone()),
            denial.clone().into(),
        )]),
    }
}
