//! The approval orchestrator: opens reviews when there is a report, and carries out what was approved:
//! assignment first, then the registry, read back. What is decided, `decide` decides.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use lumos_domain::{
    actor::OwnAgent,
    command::Command,
    event::{Event, PromotionFailed, PromotionObserved, ReleaseApproved},
    facts::{Cause, PromotionOrder},
    id::{AssignmentId, Digest, Environment, ModelName, RegistryName, ReleaseId, ReviewId},
    refusal::Refusal,
    stream::Stream,
    system::PromotionOutcome,
};
use lumos_engine::{
    DoorError, LedgerEntry,
    ports::Registry,
    runtime::{Hand, HandleError, Subscriber},
    views,
};

use crate::reread;

/// The agent, with the registries it may promote in.
pub struct ApprovalOrchestrator {
    registries: BTreeMap<RegistryName, Arc<dyn Registry>>,
}

impl ApprovalOrchestrator {
    /// An orchestrator that promotes in `registries`.
    #[must_use]
    pub const fn new(registries: BTreeMap<RegistryName, Arc<dyn Registry>>) -> Self {
        Self { registries }
    }

    async fn carry_out(
        &self,
        hand: &Hand,
        review: &ReviewId,
        approved: &ReleaseApproved,
    ) -> Result<(), HandleError> {
        for agent in &approved.tuple.agents {
            let assignment = AssignmentId {
                system: agent.system.clone(),
                agent: agent.agent.clone(),
                environment: approved.tuple.environment.clone(),
            };
            let step = format!(
                "assign.{}",
                Digest::of(assignment.to_string().as_bytes()).hex()
            );
            let assign = Command::Assign {
                assignment,
                approval: review.clone(),
            };
            // Where one agent runs what was approved later, others may not.
            settled(hand.submit(&step, assign).await)?;
        }
        settled(
            hand.submit(
                "promote",
                Command::IntendPromotion {
                    approval: review.clone(),
                },
            )
            .await,
        )?;
        // A further gate may have waited for this one.
        let release = approved.tuple.release.clone();
        let reports = hand
            .door
            .ask(|world| Ok(world.release(&release)?.reports.clone()))
            .await?;
        for environment in reports.keys().filter(|e| **e != approved.tuple.environment) {
            open(hand, &release, environment).await?;
        }
        Ok(())
    }

    /// Points the alias at the approved version: look, act, read back (DESIGN promise 8).
    async fn promote(
        &self,
        hand: &Hand,
        release: &ReleaseId,
        order: &PromotionOrder,
    ) -> Result<(), HandleError> {
        let outcome = match self.outcome(hand, order).await? {
            Ok(read_back) => PromotionOutcome::Observed(PromotionObserved {
                marker: order.marker.clone(),
                read_back,
            }),
            Err((code, problem)) => PromotionOutcome::Failed(PromotionFailed {
                marker: order.marker.clone(),
                code: code.to_owned(),
                problem,
            }),
        };
        hand.submit(
            "settle",
            Command::SettlePromotion {
                release: release.clone(),
                outcome,
            },
        )
        .await?;
        Ok(())
    }

    /// The version read back, or why it did not happen; an error when it is worth trying again.
    async fn outcome(
        &self,
        hand: &Hand,
        order: &PromotionOrder,
    ) -> Result<Result<String, (&'static str, String)>, HandleError> {
        let Some(registry) = self.registries.get(&order.registry) else {
            return Ok(Err((
                "unknown-registry",
                format!("no registry `{}` is configured", order.registry),
            )));
        };
        if let Some(problem) = outdated(hand, order).await? {
            return Ok(Err(("promotion-outdated", problem)));
        }
        let attempt = async {
            if registry.alias(&order.name, &order.alias).await?.as_ref() != Some(&order.version) {
                registry
                    .set_alias(&order.name, &order.alias, &order.version, &order.marker)
                    .await?;
            }
            registry.alias(&order.name, &order.alias).await
        };
        match attempt.await {
            Ok(Some(seen)) if seen == order.version => Ok(Ok(seen)),
            Ok(seen) => {
                let seen = seen.unwrap_or_else(|| "nothing".to_owned());
                let problem = format!(
                    "alias `{}` was set but names {seen} when read back",
                    order.alias
                );
                Err(HandleError::transient(problem))
            }
            Err(error) if error.is_transient() => Err(HandleError::transient(error)),
            Err(error) => Ok(Err((error.code(), error.without_detail()))),
        }
    }
}

/// Why an order is no longer to be carried out: its approval ended, or a later one took its place.
async fn outdated(hand: &Hand, order: &PromotionOrder) -> Result<Option<String>, HandleError> {
    let now = hand.door.ports().clock.now();
    let approval = &order.approval;
    let asked = hand
        .door
        .ask(|world| {
            lumos_domain::review::approved(world, approval, now)?;
            let current = world
                .model(&approval.model)?
                .current
                .get(&approval.environment);
            Ok(current.is_some_and(|current| current.approval == *approval))
        })
        .await;
    match asked {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some("a later approval took its place".to_owned())),
        Err(DoorError::Refused(refusal)) => Ok(Some(refusal.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Opens a review, or brings an open one up to date.
async fn open(
    hand: &Hand,
    release: &ReleaseId,
    environment: &Environment,
) -> Result<(), HandleError> {
    if reread::is_decided(hand, release, environment).await? {
        return Ok(());
    }
    let command = Command::OpenReview {
        release: release.clone(),
        environment: environment.clone(),
    };
    settled(hand.submit(&format!("open.{environment}"), command).await)
}

/// Ends every approval that was given in the sandbox.
async fn revoke_sandbox(hand: &Hand) -> Result<(), HandleError> {
    for review in views::enforcement::of_sandbox(&*hand.door.ports().store).await? {
        let step = format!("revoke.{}", Digest::of(review.to_string().as_bytes()).hex());
        let command = Command::RevokeApproval {
            review,
            cause: Cause::SandboxLeft,
            reason: None,
        };
        settled(hand.submit(&step, command).await)?;
    }
    Ok(())
}

/// Brings the open reviews, of one model or of all, up to date with what they are measured by: the
/// organisation's rules, the model's tier, what runs now and whether its approval still holds.
async fn renew_open(hand: &Hand, model: Option<&ModelName>) -> Result<(), HandleError> {
    for row in views::reviews::all_open(&*hand.door.ports().store, model).await? {
        let (release, environment) = (row.review.release(), row.review.environment);
        let step = format!(
            "renew.{}",
            Digest::of(format!("{release} {environment}").as_bytes()).hex()
        );
        settled(
            hand.submit(
                &step,
                Command::OpenReview {
                    release,
                    environment,
                },
            )
            .await,
        )?;
    }
    Ok(())
}

/// A refusal is an answer: what it waits for will wake this agent again.
fn settled<T>(result: Result<T, DoorError>) -> Result<(), HandleError> {
    match result {
        Ok(_) => Ok(()),
        Err(DoorError::Refused(refusal @ Refusal::NotAllowed { .. })) => {
            Err(HandleError::fatal(refusal))
        }
        Err(DoorError::Refused(refusal)) => {
            tracing::info!(code = refusal.code(), %refusal, "the approval orchestrator waits");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[async_trait]
impl Subscriber for ApprovalOrchestrator {
    fn agent(&self) -> OwnAgent {
        OwnAgent::ApprovalOrchestrator
    }

    fn wants(&self, event: &Event) -> bool {
        matches!(
            event,
            Event::ReportRecorded(_)
                | Event::AuthorClaimed(_)
                | Event::ReleaseApproved(_)
                | Event::PromotionIntended(_)
                | Event::SandboxLeft(_)
                | Event::ReviewRulesSet(_)
                | Event::GateRequested(_)
                | Event::ModelRegistered(_)
                | Event::ModelTierSet(_)
                | Event::CurrentReleaseSet(_)
                | Event::ReleasesAssigned(_)
                | Event::ApprovalRevoked(_)
                | Event::ApprovalExpired(_)
        )
    }

    async fn handle(&self, hand: &Hand, entry: &LedgerEntry) -> Result<(), HandleError> {
        match (&entry.stream, &entry.event) {
            (Stream::Release(release), Event::ReportRecorded(recorded)) => {
                open(hand, release, &recorded.report.environment).await
            }
            (Stream::Release(release), Event::AuthorClaimed(_) | Event::GateRequested(_)) => {
                let reports = hand
                    .door
                    .ask(|world| Ok(world.release(release)?.reports.clone()))
                    .await?;
                for environment in reports.keys() {
                    open(hand, release, environment).await?;
                }
                Ok(())
            }
            (Stream::Review(review), Event::ReleaseApproved(approved)) => {
                self.carry_out(hand, review, approved).await
            }
            (Stream::Release(release), Event::PromotionIntended(intended)) => {
                self.promote(hand, release, &intended.order).await
            }
            (Stream::Org, Event::SandboxLeft(_)) => {
                revoke_sandbox(hand).await?;
                renew_open(hand, None).await
            }
            (Stream::Org, Event::ReviewRulesSet(_)) => renew_open(hand, None).await,
            (Stream::Model(model), _) => renew_open(hand, Some(model)).await,
            (Stream::Review(ended), _) => renew_open(hand, Some(&ended.model)).await,
            (Stream::Assignment(_), Event::ReleasesAssigned(set)) => match set.releases.first() {
                Some(first) => renew_open(hand, Some(&first.release.model)).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
