//! What people did and may do: signatures, seats, remarks, claims, and the form to sign with.

use jiff::Timestamp;
use lumos_domain::{
    actor::Caller,
    command::Command,
    event::Event,
    id::{Digest, PersonId, ReviewId},
    refusal::Refusal,
    review::{Sign, meaning},
    rules::Slot,
    seal::Sealed,
    words::{Grade, Verdict},
    world::{Halt, World},
};
use lumos_engine::LedgerEntry;

use crate::app::refusal;
use crate::{
    app::App,
    pages::{
        frame::no_text,
        oops::Oops,
        say,
        show::{Names, State, When, person_of, texts},
    },
};

/// A signature as it is printed (21 CFR 11.50): who, when, meaning, and why.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Signature {
    pub(in crate::pages) name: String,
    pub(in crate::pages) role: String,
    pub(in crate::pages) verdict: State,
    pub(in crate::pages) meaning: String,
    pub(in crate::pages) grade: String,
    pub(in crate::pages) reason: String,
    pub(in crate::pages) when: When,
    pub(in crate::pages) entry: u64,
    /// Whether it is on the record as it stands now.
    pub(in crate::pages) counts: bool,
}

/// A seat that nobody fills yet.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Seat {
    pub(in crate::pages) role: String,
    pub(in crate::pages) missing: u32,
    pub(in crate::pages) grade: String,
    pub(in crate::pages) mine: bool,
}

/// A remark in the thread.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Remark {
    pub(in crate::pages) author: String,
    pub(in crate::pages) when: When,
    pub(in crate::pages) text: String,
    pub(in crate::pages) entry: u64,
}

/// An author as a registry or submitter states it.
#[derive(Debug, Clone)]
pub(in crate::pages) struct ClaimRow {
    pub(in crate::pages) number: u32,
    pub(in crate::pages) identity: String,
    pub(in crate::pages) taken_by: Option<String>,
}

/// The form to sign with.
#[derive(Debug, Clone)]
pub(in crate::pages) struct SignForm {
    pub(in crate::pages) record: String,
    pub(in crate::pages) choices: Vec<Choice>,
    pub(in crate::pages) roles: Vec<String>,
    /// Whether a password is needed for the seat.
    pub(in crate::pages) password_needed: bool,
}

/// One verdict on the form.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Choice {
    pub(in crate::pages) verdict: &'static str,
    pub(in crate::pages) label: &'static str,
    pub(in crate::pages) meaning: &'static str,
    /// Why this verdict is not the reader's to give.
    pub(in crate::pages) refused: Option<String>,
}

/// What `decide` would say to the reader.
#[derive(Debug, Clone)]
pub(super) struct Allowed {
    approve: Option<Refusal>,
    reject: Option<Refusal>,
    password_needed: bool,
}

/// What the reader may sign, asked of the same rules that will decide.
pub(super) fn allowed(
    world: &World,
    caller: &Caller,
    review: &ReviewId,
    record: Digest,
    now: Timestamp,
) -> Result<Allowed, Halt> {
    let plain = caller.clone();
    let with_password = Caller {
        reauthenticated: true,
        ..caller.clone()
    };
    let ask = |caller: &Caller, verdict| {
        let sign = Sign {
            review: review.clone(),
            verdict,
            slot: None,
            reason: no_text(),
            record,
        };
        refusal(world, caller, &Command::Sign(sign), now)
    };
    let without = ask(&plain, Verdict::Approve)?;
    Ok(Allowed {
        approve: ask(&with_password, Verdict::Approve)?,
        reject: ask(&with_password, Verdict::Reject)?,
        password_needed: matches!(without, Some(Refusal::GradeTooLow { .. })),
    })
}

/// The form, or why there is none.
pub(super) fn form(allowed: &Allowed, record: Digest, seats: &[Seat]) -> Result<SignForm, String> {
    if let (Some(why), Some(_)) = (&allowed.approve, &allowed.reject) {
        return Err(sentence(&why.to_string()));
    }
    let told = |refusal: &Option<Refusal>| refusal.as_ref().map(|r| sentence(&r.to_string()));
    let choice = |verdict: Verdict, label, refusal| Choice {
        verdict: verdict.as_str(),
        label,
        meaning: meaning(verdict),
        refused: told(refusal),
    };
    Ok(SignForm {
        record: record.to_string(),
        choices: vec![
            choice(Verdict::Approve, "Approve", &allowed.approve),
            choice(Verdict::Reject, "Reject", &allowed.reject),
            choice(Verdict::RequestChanges, "Request changes", &allowed.reject),
        ],
        roles: seats
            .iter()
            .filter(|seat| seat.mine)
            .map(|seat| seat.role.clone())
            .collect(),
        password_needed: allowed.password_needed,
    })
}

/// A message as a sentence.
pub(super) fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        None => String::new(),
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
    }
}

/// The free seats, and which of them are the reader's to fill.
pub(super) fn seats(
    world: &World,
    id: &ReviewId,
    me: &PersonId,
    free: &[Slot],
) -> Result<Vec<Seat>, Halt> {
    let person = world.person(me)?;
    let model = world.model(&id.model)?;
    let duty = lumos_domain::review::duty(world, &id.release(), me)?;
    let seat = |slot: &Slot| Seat {
        role: slot.role.to_string(),
        missing: slot.count,
        grade: grade(slot.grade).to_owned(),
        mine: duty.is_none() && person.holds(&slot.role, Some((&id.model, model))),
    };
    Ok(free.iter().map(seat).collect())
}

const fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Recorded => "recorded",
        Grade::Part11 => "part 11, with password",
    }
}

/// The people named anywhere in `entries`.
pub(super) async fn names(app: &App, entries: &[LedgerEntry]) -> Result<Names, Oops> {
    let named = entries.iter().flat_map(|entry| {
        let mut people = say::people(&entry.event);
        people.extend(person_of(&entry.actor));
        people
    });
    Names::of(app, named).await
}

/// The signatures in a review's history, oldest first.
pub(super) async fn signatures(
    app: &App,
    history: &[LedgerEntry],
    record: Option<Digest>,
    names: &Names,
    now: Timestamp,
) -> Result<Vec<Signature>, Oops> {
    let signed: Vec<_> = history
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Signed(signed) => Some((entry, signed)),
            _ => None,
        })
        .collect();
    let reasons: Vec<Sealed> = signed.iter().map(|(_, signed)| signed.reason).collect();
    let reasons = texts(app, &reasons).await?;
    let each = signed.into_iter().zip(reasons);
    Ok(each
        .map(|((entry, signed), reason)| Signature {
            name: names.person(&signed.person),
            role: signed
                .slot
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            verdict: State::of(signed.verdict.as_str()),
            meaning: signed.meaning.clone(),
            grade: grade(signed.grade).to_owned(),
            reason,
            when: When::of(entry.time, now),
            entry: entry.index,
            counts: Some(signed.record) == record,
        })
        .collect())
}

/// The thread of a review, oldest first.
pub(super) async fn remarks(
    app: &App,
    history: &[LedgerEntry],
    names: &Names,
    now: Timestamp,
) -> Result<Vec<Remark>, Oops> {
    let said: Vec<_> = history
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Remarked(remarked) => Some((entry, remarked.text)),
            _ => None,
        })
        .collect();
    let seals: Vec<Sealed> = said.iter().map(|(_, text)| *text).collect();
    let texts = texts(app, &seals).await?;
    let each = said.into_iter().zip(texts);
    Ok(each
        .map(|((entry, _), text)| Remark {
            author: names.actor(&entry.actor),
            when: When::of(entry.time, now),
            text,
            entry: entry.index,
        })
        .collect())
}

/// The author claims of a release and who took them.
pub(super) async fn claims(
    app: &App,
    history: &[LedgerEntry],
    names: &Names,
) -> Result<Vec<ClaimRow>, Oops> {
    let detected = history.iter().find_map(|entry| match &entry.event {
        Event::CandidateDetected(detected) => Some(detected.claims.clone()),
        _ => None,
    });
    let claims = detected.unwrap_or_default();
    let seals: Vec<Sealed> = claims.iter().map(|claim| claim.identity).collect();
    let identities = texts(app, &seals).await?;
    let taken = |number: u32| {
        history.iter().find_map(|entry| match &entry.event {
            Event::AuthorClaimed(e) if e.claim == number => Some(names.person(&e.person)),
            _ => None,
        })
    };
    let each = claims.iter().zip(identities);
    Ok(each
        .map(|(claim, identity)| ClaimRow {
            number: claim.number,
            identity,
            taken_by: taken(claim.number),
        })
        .collect())
}

#[cfg(test)]
impl SignForm {
    pub(in crate::pages) fn sample() -> Self {
        let allowed = Allowed {
            approve: Some(Refusal::Blocked {
                rules: "<script>alert(1)</script>".into(),
            }),
            reject: None,
            password_needed: true,
        };
        let seats = ["clinical-safety", "model-risk"].map(|role| Seat {
            role: role.into(),
            missing: 1,
            grade: "recorded".into(),
            mine: true,
        });
        form(&allowed, Digest::of(b"record"), &seats).unwrap()
    }
}

#[cfg(test)]
impl Signature {
    pub(in crate::pages) fn sample(hostile: &str) -> Self {
        Self {
            name: hostile.into(),
            role: "clinical-safety".into(),
            verdict: State::of("approve"),
            meaning: meaning(Verdict::Approve).into(),
            grade: "recorded".into(),
            reason: hostile.into(),
            when: When::sample(),
            entry: 8,
            counts: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_form_as_long_as_one_verdict_is_possible() {
        let refused = || Some(Refusal::NoSlot { roles: "a".into() });
        let form = |approve, reject| {
            let allowed = Allowed {
                approve,
                reject,
                password_needed: false,
            };
            form(&allowed, Digest::of(b"r"), &[])
        };
        let none = form(refused(), refused()).unwrap_err();
        assert_eq!(
            none,
            "No free slot is yours; this review still waits for: a."
        );
        let blocked = form(Some(Refusal::Blocked { rules: "x".into() }), None).unwrap();
        let refused: Vec<_> = blocked
            .choices
            .iter()
            .map(|c| c.refused.is_some())
            .collect();
        assert_eq!(refused, [true, false, false]);
        assert_eq!(blocked.record, Digest::of(b"r").to_string());
    }
}
