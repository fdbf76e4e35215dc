//! One story, and everything that can go wrong with its writes: the same things happen, once.

use std::{env, iter::repeat};

use anyhow::{Context as _, Result, ensure};
use lumos_sim::{After, Fault, Plan, Story, World, check::Shape, entropy::Numbers};

/// The most faults in one random story.
pub(crate) const FAULTS_MAX: usize = 8;
/// Writes that a random fault may hit; a story with faults has more than one without.
const WRITES: usize = 220;
/// Calls of the registry that a random story may lose.
const CALLS: usize = 120;

/// The story without a fault, and how many writes it has.
pub(crate) fn untroubled() -> (Shape, Vec<&'static str>) {
    let mut world = World::new(Plan::default(), None).unwrap();
    world.live().unwrap();
    assert_eq!(world.starts, 1);
    (world.check().unwrap(), world.plan().writes())
}

/// Whether the same happened in both; the first difference when it did not.
pub(crate) fn same(told: &Shape, shape: &Shape) -> Result<()> {
    for (stream, happened) in &shape.streams {
        let now = told.streams.get(stream).into_iter().flatten();
        let longest = now.clone().count().max(happened.len());
        let (now, then) = (now.map(Some), happened.iter().map(Some));
        let pairs = now.chain(repeat(None)).zip(then.chain(repeat(None)));
        for (now, then) in pairs.take(longest) {
            ensure!(now == then, "{stream}: {now:?} for {then:?}");
        }
    }
    ensure!(told == shape, "there are other streams, or other moves");
    Ok(())
}

/// Tells the story once for each of its writes, with that write gone wrong.
fn each_write(fault: Fault, after: After) {
    let (shape, writes) = untroubled();
    let mut wrong = Vec::new();
    for (n, kind) in writes.iter().enumerate() {
        let told = || -> Result<()> {
            let mut world = World::new(Plan::new([(n, fault, after)]), None)?;
            world.live()?;
            same(&world.check()?, &shape)?;
            let died = after == After::Died;
            ensure!(!died || world.starts == 2, "{} starts", world.starts);
            Ok(())
        };
        if let Err(error) = told() {
            wrong.push(format!(
                "write {n} ({kind}) {fault:?}, {after:?}: {error:#}"
            ));
        }
    }
    let (all, some) = (writes.len(), wrong.len());
    assert!(wrong.is_empty(), "{some} of {all}:\n{}", wrong.join("\n"));
}

#[test]
fn a_write_fails_and_its_caller_is_told() {
    each_write(Fault::Failed, After::Returned);
}

#[test]
fn a_write_fails_and_the_process_dies() {
    each_write(Fault::Failed, After::Died);
}

#[test]
fn a_write_happens_and_its_caller_is_told_that_it_failed() {
    each_write(Fault::Persisted, After::Returned);
}

#[test]
fn a_write_happens_and_the_process_dies() {
    each_write(Fault::Persisted, After::Died);
}

/// While a tweak waits for its author, the approval that it is measured by ends. Then it is no tweak any more:
/// the agents judge it anew, and people sign what it is now.
#[test]
fn what_is_measured_by_an_approval_is_renewed_when_that_ends() {
    let mut world = World::with(Story::expiring(), Plan::default(), None).unwrap();
    world.live().unwrap();
    let told = world.check().unwrap();
    let happened = &told.streams["review/triage/2/production/1"];
    let count = |kind: &str| happened.iter().filter(|event| event.contains(kind)).count();
    assert_eq!(count("lumos.review.signed.v1"), 3, "{happened:#?}");
    assert_eq!(count("lumos.release.approved.v1"), 1, "{happened:#?}");
    let base = &told.streams["review/triage/1/production/1"];
    assert!(
        base.iter()
            .any(|event| event.contains("lumos.approval.expired.v1")),
        "{base:#?}"
    );
}

/// Somebody is erased once in effect, whichever of its writes goes wrong: their name in the registry's claims is in no
/// file any more, the entry that says so is there once, and everything is rebuilt without it.
#[test]
fn an_erasure_happens_once_whatever_becomes_of_its_writes() {
    let told = |plan: Plan| -> Result<(Shape, World)> {
        let mut world = World::with(Story::erasing(), plan, None)?;
        world.live()?;
        let shape = world.check()?;
        ensure!(shape.erased(), "{:#?}", shape.streams);
        let left = world.files_with("dev@acme.example")?;
        ensure!(left.is_empty(), "{left:?}");
        Ok((shape, world))
    };
    each_of_the_last_part(told);
}

/// A review of the log is asked for, due, missed and signed for once in effect, whichever of its writes goes wrong.
#[test]
fn a_log_review_happens_once_whatever_becomes_of_its_writes() {
    let told = |plan: Plan| -> Result<(Shape, World)> {
        let mut world = World::with(Story::examining(), plan, None)?;
        world.live()?;
        let mut shape = world.check()?;
        let happened = shape.streams.entry("log-review".to_owned()).or_default();
        let kinds = ["set", "due", "overdue", "signed"];
        let each = kinds.iter().zip(happened.iter());
        let same = each.filter(|(kind, event)| event.contains(&format!("log_review.{kind}.v1")));
        ensure!(
            (same.count(), happened.len()) == (kinds.len(), kinds.len()),
            "{happened:#?}"
        );
        // A process that died has started again, and that is an entry more to examine.
        let range = happened.pop().context("it is signed")?;
        let (signed, size) = range.split_once("\"size\":").context("it has an end")?;
        let rest = size.trim_start_matches(|c: char| c.is_ascii_digit());
        happened.push(format!("{signed}{rest}"));
        Ok((shape, world))
    };
    each_of_the_last_part(told);
}

/// Tells a story once for each write of its last part and each way in which that goes wrong.
fn each_of_the_last_part(told: impl Fn(Plan) -> Result<(Shape, World)>) {
    let (shape, world) = told(Plan::default()).unwrap();
    let (writes, before) = (world.plan().writes(), world.last_part());
    assert!((1..writes.len()).contains(&before), "{before}");
    println!("{} writes from {before} on", writes.len() - before);
    let mut wrong = Vec::new();
    for (n, kind) in writes.iter().enumerate().skip(before) {
        for (fault, after) in [
            (Fault::Failed, After::Returned),
            (Fault::Persisted, After::Returned),
            (Fault::Failed, After::Died),
            (Fault::Persisted, After::Died),
        ] {
            let again = told(Plan::new([(n, fault, after)]));
            if let Err(error) = again.and_then(|(now, _)| same(&now, &shape)) {
                wrong.push(format!(
                    "write {n} ({kind}) {fault:?}, {after:?}: {error:#}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Faults drawn from a seed: how many, which, and what follows on each.
pub(crate) fn drawn(seed: u64) -> Plan {
    let mut numbers = Numbers::new(!seed);
    let mut faults = Vec::new();
    for _ in 0..numbers.below(FAULTS_MAX + 1) {
        let fault = [Fault::Failed, Fault::Persisted][numbers.below(2)];
        let after = [After::Returned, After::Died][numbers.below(2)];
        faults.push((numbers.below(WRITES), fault, after));
    }
    let lost = numbers.below(FAULTS_MAX + 1);
    let lost: Vec<_> = (0..lost).map(|_| numbers.below(CALLS)).collect();
    Plan::new(faults).interleaved(lost)
}

fn told(seed: u64, shape: &Shape) -> Result<usize> {
    let mut world = World::new(drawn(seed), Some(seed))?;
    world.live().context("living")?;
    same(&world.check().context("checking")?, shape)?;
    Ok(world.starts)
}

/// Others come in between at every call of a port, in an order that a seed draws, while several writes go wrong
/// and the registry is not always there.
#[test]
fn in_any_order_with_any_faults_the_same_happens() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the caller of a long run says how long"
    )]
    let worlds = env::var("LUMOS_SOAK_WORLDS").map_or(40, |n| n.parse().unwrap());
    #[expect(clippy::disallowed_methods, reason = "a seed that failed is run again")]
    let first = env::var("LUMOS_SOAK_SEED").map_or(0, |n| n.parse().unwrap());
    let (shape, _) = untroubled();
    let mut wrong = Vec::new();
    let mut starts = 0;
    for seed in first..first + worlds {
        match told(seed, &shape) {
            Ok(started) => starts += started,
            Err(error) => wrong.push(format!("seed {seed}: {error:#}")),
        }
    }
    let some = wrong.len();
    wrong.truncate(5);
    assert!(
        wrong.is_empty(),
        "{some} of {worlds}:\n{}",
        wrong.join("\n")
    );
    println!("{worlds} worlds, {starts} starts");
}
