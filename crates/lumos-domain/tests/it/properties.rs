//! Whatever is asked, by whomever, in whatever order: what must never follow. Random command sequences over
//! a small organisation; every append is checked against the promises anew, by other code than the rules'.

use std::{collections::BTreeSet, sync::LazyLock};

use lumos_domain::{
    Event, Stream,
    actor::Caller,
    event::ReleaseApproved,
    id::{ReviewId, RoleName},
    refusal::Refusal,
    words::{Depth, Grade, ModelTier},
    world::Decided,
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use crate::acme::{Acme, name};

mod steps;

use steps::{Step, commands, steps};

static ORGANISATION: LazyLock<Acme> = LazyLock::new(Acme::running);
static SANDBOX: LazyLock<Acme> = LazyLock::new(|| Acme::founded(true));

/// Approvals that were seen: by people, by rule.
#[derive(Default)]
struct Seen {
    by_people: usize,
    by_rule: usize,
}

fn run(sandbox: bool, steps: &[Step]) -> Seen {
    let mut acme = if sandbox {
        SANDBOX.clone()
    } else {
        ORGANISATION.clone()
    };
    let mut seen = Seen::default();
    for step in steps {
        if let Step::Wait { hours } = step {
            acme.wait(*hours);
            continue;
        }
        for (caller, command) in commands(&mut acme, step) {
            let before = acme.ledger.answer(|world| {
                let tier = world.model(&name("triage"))?.effective_tier();
                Ok((world.org()?.sandbox, tier))
            });
            let (alone, tier) = before.unwrap();
            let Ok(decided) = acme
                .ledger
                .submit(&caller, std::slice::from_ref(&command), acme.now)
            else {
                continue;
            };
            assert!(
                alone || !one_person_loosened(&caller, tier, &decided),
                "{step:?}: {decided:?}"
            );
            for (stream, event) in &decided {
                let json = event.to_json().unwrap();
                assert_eq!(Event::decode(event.kind(), &json).unwrap(), *event);
                if let (Stream::Review(review), Event::ReleaseApproved(approved)) = (stream, event)
                {
                    holds(&acme, &caller, review, approved);
                    match approved.auto {
                        None => seen.by_people += 1,
                        Some(_) => seen.by_rule += 1,
                    }
                }
            }
            let again = acme.ledger.clone().submit(&caller, &[command], acme.now);
            assert!(!approves(&again), "the same again approved again: {step:?}");
        }
    }
    seen
}

/// Whether roles or rules became others without two people.
fn one_person_loosened(caller: &Caller, tier: ModelTier, decided: &Decided) -> bool {
    let loosens = |event: &Event| match event {
        Event::RoleGranted(_) | Event::GateDefined(_) => true,
        Event::ModelTierSet(set) => set.tier < tier,
        _ => false,
    };
    let two = decided.iter().any(|(_, event)| match event {
        Event::ProposalConfirmed(confirmed) => {
            caller.person().is_some_and(|who| *who != confirmed.first)
        }
        _ => false,
    });
    !two && decided.iter().any(|(_, event)| loosens(event))
}

fn approves(answer: &Result<Decided, Refusal>) -> bool {
    let mut events = answer.iter().flatten();
    events.any(|(_, event)| matches!(event, Event::ReleaseApproved(_)))
}

/// Everything the promises ask of an approval, looked up anew after it was given.
fn holds(acme: &Acme, caller: &Caller, id: &ReviewId, approved: &ReleaseApproved) {
    let tuple = &approved.tuple;
    let checked = acme.ledger.answer(|world| {
        let (org, model) = (world.org()?, world.model(&id.model)?);
        let (release, review) = (world.release(&id.release())?, world.review(id)?);
        let record = review.record.as_ref().unwrap();
        assert!(!release.withdrawn && !release.test && release.open_claims.is_empty());
        assert_eq!(release.digest, Some(tuple.digest));

        let report = &release.reports[&tuple.environment];
        assert_eq!(
            (report.report, &report.bundles),
            (tuple.report, &tuple.bundles)
        );
        assert_eq!(
            report.subject_version,
            world.version(&Stream::Subject(tuple.digest))?
        );
        assert!(
            report.blocking().is_empty(),
            "blocked by {:?}",
            report.blocking()
        );

        let Some(_) = &approved.auto else {
            assert!(caller.person().is_some(), "{:?} approved", caller.actor);
            let mut signers = BTreeSet::new();
            let mut filled: Vec<(&RoleName, Grade)> = Vec::new();
            for vote in review
                .votes
                .iter()
                .filter(|v| Some(v.record) == review.record_hash)
            {
                let signer = world.person(&vote.person)?;
                let own = release.submitter.as_ref() == Some(&vote.person)
                    || release.authors.contains(&vote.person)
                    || model.data_owner.as_ref() == Some(&vote.person);
                assert!(org.sandbox || !own, "{} approved their own", vote.person);
                assert!(signers.insert(&vote.person), "{} signed twice", vote.person);
                let role = vote.slot.as_ref().unwrap();
                if signer.is_active_human() && signer.holds(role, Some((&id.model, model))) {
                    filled.push((role, vote.grade));
                }
            }
            assert!(record.depth > Depth::Auto);
            let rule = &org.rules.as_ref().unwrap().depths[&record.depth];
            assert!(record.depth == Depth::Light || rule.slots.len() > 1 || org.sandbox);
            for slot in &record.slots {
                let fit = |(role, grade): &&(&RoleName, Grade)| {
                    **role == slot.role && *grade >= slot.grade
                };
                let count = filled.iter().filter(fit).count();
                assert!(
                    count >= slot.count as usize,
                    "{} has {count} signers",
                    slot.role
                );
            }
            return Ok(());
        };
        assert_eq!(record.depth, Depth::Auto);
        assert!(
            !release.authors.is_empty(),
            "nobody wrote it, yet a rule approved it"
        );
        Ok(())
    });
    checked.unwrap();
    let once = acme.ledger.events(&Stream::Review(id.clone())).iter();
    let once = once
        .filter(|event| matches!(event, Event::ReleaseApproved(_)))
        .count();
    assert_eq!(once, 1, "{id} was approved twice");
}

proptest! {
    #[test]
    fn no_order_of_commands_breaks_a_promise(sandbox in prop::bool::weighted(0.2), steps in steps()) {
        run(sandbox, &steps);
    }
}

/// The property above says nothing if nothing is ever approved.
#[test]
fn random_orders_do_lead_to_approvals() {
    let mut runner = TestRunner::deterministic();
    let mut total = Seen::default();
    for _ in 0..300 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let seen = run(false, &steps);
        total.by_people += seen.by_people;
        total.by_rule += seen.by_rule;
    }
    assert!(
        total.by_people > 5 && total.by_rule > 5,
        "{} and {}",
        total.by_people,
        total.by_rule
    );
}
