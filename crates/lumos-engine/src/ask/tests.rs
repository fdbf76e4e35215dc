use lumos_domain::{
    event::{AuthorClaimed, CandidateDetected, ReleaseApproved, ReleasesAssigned, Signed},
    facts::{ApprovalTuple, Assigned, Source},
    id::{Digest, ReleaseId, ReviewId},
    seal::SealedValue,
    words::{Grade, Verdict},
};

use super::*;

const REVIEW: &str = "triage/1.0/production/1";

fn person(id: &str) -> PersonId {
    id.parse().unwrap()
}

fn release() -> ReleaseId {
    ReleaseId {
        model: "triage".parse().unwrap(),
        version: "1.0".parse().unwrap(),
    }
}

fn review() -> ReviewId {
    REVIEW.parse().unwrap()
}

/// A ledger that is told an event at a time, an hour each.
#[derive(Default)]
struct Told(Vec<LedgerEntry>);

impl Told {
    fn say(
        &mut self,
        stream: &str,
        actor: &str,
        event: impl Into<lumos_domain::event::Event>,
    ) -> &mut Self {
        let index = self.0.len() as u64;
        self.0.push(LedgerEntry {
            index,
            stream: stream.parse().unwrap(),
            version: index + 1,
            time: Timestamp::from_second(i64::try_from(index).unwrap() * 3_600).unwrap(),
            actor: actor.parse().unwrap(),
            command_id: index.to_string(),
            causation: None,
            sandbox: false,
            event: event.into(),
        });
        self
    }

    fn detected(&mut self, submitter: &str) -> &mut Self {
        let source = Source {
            registry: "models".parse().unwrap(),
            name: "triage".into(),
            version: "1.0".into(),
        };
        let detected = CandidateDetected {
            source,
            environment: "production".parse().unwrap(),
            agents: [].into(),
            submitter: Some(person(submitter)),
            claims: Vec::new(),
            declared: None,
            test: false,
        };
        self.say("release/triage/1.0", "agent/release-scanner", detected)
    }

    fn signed(&mut self, by: &str) -> &mut Self {
        let signed = Signed {
            person: person(by),
            slot: None,
            verdict: Verdict::Approve,
            reason: SealedValue::new([1; 32], "fine".to_owned()).commitment,
            meaning: "approval".into(),
            grade: Grade::Recorded,
            record: Digest::of(b"record"),
        };
        let stream = format!("review/{REVIEW}");
        self.say(&stream, &format!("person/{by}"), signed)
    }

    fn approved(&mut self, digest: &[u8]) -> &mut Self {
        let tuple = ApprovalTuple {
            release: release(),
            digest: Digest::of(digest),
            bundles: [].into(),
            report: Digest::of(b"report"),
            environment: "production".parse().unwrap(),
            agents: [].into(),
            expires: Timestamp::MAX,
            sandbox: false,
        };
        let stream = format!("review/{REVIEW}");
        self.say(
            &stream,
            "person/p-signer",
            ReleaseApproved { tuple, auto: None },
        )
    }

    fn assigned(&mut self, by: &str) -> &mut Self {
        let assigned = Assigned {
            release: release(),
            digest: Digest::of(b"weights"),
            approval: review(),
            share: 100,
            until: None,
        };
        let releases = vec![assigned];
        let stream = "assignment/desk/reader/production";
        self.say(stream, by, ReleasesAssigned { releases })
    }

    /// The checks of the one change: approved before, by others, same digest.
    fn checks(&self) -> [bool; 3] {
        let period = Period {
            from: Timestamp::MIN,
            to: Timestamp::MAX,
        };
        let table = changes::answer(&self.0, &period);
        let [row] = &table.rows[..] else {
            panic!("{:?}", table.rows);
        };
        assert_eq!(row.len(), table.columns.len());
        let holds = |cell: &Cell| match cell {
            Cell::Holds(holds) => Some(*holds),
            _ => None,
        };
        let checks: Vec<bool> = row.iter().filter_map(holds).collect();
        assert_eq!(table.wrong(), usize::from(checks.contains(&false)));
        checks.try_into().unwrap()
    }
}

#[test]
fn a_change_is_held_against_its_approval() {
    let told = |tell: &dyn Fn(&mut Told)| {
        let mut told = Told::default();
        told.detected("p-author");
        tell(&mut told);
        told.checks()
    };
    let operator = "person/p-operator";
    let agent = "agent/approval-orchestrator";
    let good = told(&|t| {
        t.signed("p-signer").approved(b"weights").assigned(operator);
    });
    assert_eq!(good, [true; 3]);
    // Nobody approved it, or only afterwards.
    let never = told(&|t| {
        t.assigned(agent);
    });
    assert_eq!(never, [false; 3]);
    let late = told(&|t| {
        t.assigned(agent).signed("p-signer").approved(b"weights");
    });
    assert_eq!(late, [false; 3]);
    // Its author did, or whoever deployed it, or somebody who said later that it is theirs.
    let author = told(&|t| {
        t.signed("p-author").approved(b"weights").assigned(operator);
    });
    assert_eq!(author, [true, false, true]);
    let deployer = told(&|t| {
        t.signed("p-operator")
            .approved(b"weights")
            .assigned(operator);
    });
    assert_eq!(deployer, [true, false, true]);
    let claimed = told(&|t| {
        let (claim, person) = (1, person("p-signer"));
        t.say(
            "release/triage/1.0",
            operator,
            AuthorClaimed { claim, person },
        );
        t.signed("p-signer").approved(b"weights").assigned(operator);
    });
    assert_eq!(claimed, [true, false, true]);
    let other = told(&|t| {
        t.signed("p-signer").approved(b"other").assigned(operator);
    });
    assert_eq!(other, [true, true, false]);
}

#[test]
fn only_what_is_new_and_within_the_period_is_a_change() {
    let mut told = Told::default();
    told.detected("p-author")
        .signed("p-signer")
        .approved(b"weights");
    told.assigned("person/p-operator");
    told.assigned("person/p-operator");
    let at = |hour: i64| Timestamp::from_second(hour * 3_600).unwrap();
    for (from, to, changes) in [(0, 9, 1), (3, 4, 1), (0, 3, 0), (4, 9, 0)] {
        let (from, to) = (at(from), at(to));
        let table = changes::answer(&told.0, &Period { from, to });
        assert_eq!(table.rows.len(), changes, "{from} to {to}");
    }
}

#[test]
fn questions_are_asked_by_their_words_and_of_known_types() {
    for question in Question::ALL {
        assert_eq!(question.as_str().parse(), Ok(question));
        let (kinds, answer) = question.answer();
        for kind in kinds {
            assert!(lumos_domain::event::Event::KINDS.contains(kind), "{kind}");
        }
        let nothing = Period {
            from: Timestamp::MIN,
            to: Timestamp::MIN,
        };
        assert!(answer(&[], &nothing).rows.is_empty());
    }
    assert!("why".parse::<Question>().is_err());
}
