use lumos_domain::{
    event::{
        AuthorClaimed, CandidateDetected, LogReviewDue, LogReviewOverdue, LogReviewSet,
        LogReviewed, ProposalMade, ReadingRecorded, ReleaseApproved, ReleasesAssigned,
        ReviewOpened, Signed,
    },
    facts::{ApprovalTuple, Assigned, ReviewRecord, Source},
    id::{Digest, ReleaseId, ReviewId},
    log_review::Schedule,
    proposal::Governed,
    seal::SealedValue,
    words::{Finding, Grade, Verdict},
};
use serde_json::json;

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
    fn say(&mut self, stream: &str, actor: &str, event: impl Into<Event>) -> &mut Self {
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
        let table = Question::Changes.answered(&self.0, &period);
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
        let table = Question::Changes.answered(&told.0, &Period { from, to });
        assert_eq!(table.rows.len(), changes, "{from} to {to}");
    }
}

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3_600).unwrap()
}

fn always() -> Period {
    let (from, to) = (Timestamp::MIN, Timestamp::MAX);
    Period { from, to }
}

const LOG: &str = "log-review";

impl Told {
    fn asked_for(&mut self) -> &mut Self {
        let schedule = Schedule {
            role: "auditor".parse().unwrap(),
            every_days: 1,
            within_days: 1,
            grade: Grade::Recorded,
        };
        let set = LogReviewSet {
            schedule: Some(schedule),
            was: None,
            next: Some(at(24)),
            reason: SealedValue::new([1; 32], "a rule".to_owned()).commitment,
        };
        self.say(LOG, "person/p-admin", set)
    }

    fn due(&mut self, since: i64, overdue: i64) -> &mut Self {
        let (since, overdue) = (at(since), at(overdue));
        self.say(LOG, "clock", LogReviewDue { since, overdue })
    }

    fn shown(&mut self, by: &str, from: u64) -> &mut Self {
        let reading = ReadingRecorded {
            reading: Reading::LogReview,
            about: log_reviews::shown_from(from),
            model: None,
            size: 0,
            digest: None,
        };
        self.say(&format!("readings/{by}"), &format!("person/{by}"), reading)
    }

    fn examined(&mut self, by: &str, from: u64, size: u64) -> &mut Self {
        let reviewed = LogReviewed {
            person: person(by),
            role: "auditor".parse().unwrap(),
            from,
            size,
            root: Digest::of(b"root"),
            record: Digest::of(b"record"),
            until: at(0),
            finding: Finding::Nothing,
            reason: SealedValue::new([1; 32], "looked".to_owned()).commitment,
            meaning: "I looked".into(),
            grade: Grade::Recorded,
            next: at(48),
        };
        self.say(LOG, &format!("person/{by}"), reviewed)
    }

    /// The checks of the last row of the answer: in time, nothing left out, shown.
    fn log_checks(&self) -> Vec<bool> {
        let table = Question::LogReviews.answered(&self.0, &always());
        let row = table.rows.last().unwrap();
        assert_eq!(row.len(), table.columns.len());
        let holds = row.iter().filter_map(|cell| match cell {
            Cell::Holds(holds) => Some(*holds),
            _ => None,
        });
        holds.collect()
    }

    fn opened(&mut self, due: i64) -> &mut Self {
        let record: ReviewRecord = serde_json::from_value(json!({
            "as_of": at(0), "digest": Digest::of(b"weights"), "environment": "production",
            "agents": [], "depth": "full", "raised_by": [], "model_tier": "medium",
            "change_tier": "major", "change": null, "running": null, "slots": [{"role": "risk"}],
            "bundles": [], "report": Digest::of(b"report"), "subject_version": 1, "score": null,
            "blocking": [], "critical": [], "sandbox": false, "test": false,
        }))
        .unwrap();
        let due = Some(at(due));
        self.say(
            &format!("review/{REVIEW}"),
            "agent/approval-orchestrator",
            ReviewOpened { record, due },
        )
    }

    fn proposed(&mut self, until: i64) -> &mut Self {
        let change: Governed = serde_json::from_value(json!({
            "set_log_review": {"schedule": null, "reason": SealedValue::new([1; 32], String::new()).commitment}
        }))
        .unwrap();
        let made = ProposalMade {
            person: person("p-admin"),
            change,
            until: at(until),
            replaces: Digest::of(b"was"),
        };
        self.say("proposal/0123456789abcdef0123", "person/p-admin", made)
    }
}

#[test]
fn a_signature_on_the_log_is_held_against_what_was_asked_for() {
    let told = |tell: &dyn Fn(&mut Told)| {
        let mut told = Told::default();
        told.asked_for();
        tell(&mut told);
        told.log_checks()
    };
    let good = told(&|t| {
        t.due(1, 20).shown("p-1", 0).examined("p-1", 0, 3);
    });
    assert_eq!(good, [true; 3]);
    let late = told(&|t| {
        t.due(1, 3).shown("p-1", 0).examined("p-1", 0, 3);
    });
    assert_eq!(late, [false, true, true]);
    // Somebody else was shown it, or another range.
    let unseen = told(&|t| {
        t.due(1, 20)
            .shown("p-2", 0)
            .shown("p-1", 7)
            .examined("p-1", 0, 3);
    });
    assert_eq!(unseen, [true, true, false]);
    let skipped = told(&|t| {
        t.shown("p-1", 0).examined("p-1", 0, 3);
        t.shown("p-1", 4).examined("p-1", 4, 6);
    });
    assert_eq!(skipped, [true, false, true]);
    let missed = told(&|t| {
        let (since, again) = (at(1), at(50));
        t.due(1, 2).say(
            LOG,
            "clock",
            LogReviewOverdue {
                since,
                missed: 1,
                again,
            },
        );
    });
    assert_eq!(missed, [false]);
}

#[test]
fn what_waits_beyond_its_time_is_told_until_it_is_settled() {
    let mut told = Told::default();
    told.asked_for().due(1, 5).opened(4).proposed(6);
    let ask = |told: &Told, from: i64, to: i64| {
        let (from, to) = (at(from), at(to));
        let table = Question::Overdue.answered(&told.0, &Period { from, to });
        assert_eq!(table.wrong(), table.rows.len());
        for row in &table.rows {
            assert_eq!(row.len(), table.columns.len());
        }
        let what = table.rows.iter().map(|row| match &row[2] {
            Cell::Text(what) => what.clone(),
            other => panic!("{other:?}"),
        });
        what.collect::<Vec<_>>()
    };
    let review = "a review that nobody decided";
    let log = "a review of the log that nobody signed";
    let lapsed = "a proposal that nobody settled: it lapsed";
    assert!(ask(&told, 0, 4).is_empty());
    assert_eq!(ask(&told, 0, 5), [review]);
    assert_eq!(ask(&told, 0, 7), [review, log, lapsed]);
    // That it lapsed was news then.
    assert_eq!(ask(&told, 7, 9), [review, log]);
    told.approved(b"weights").examined("p-1", 0, 3);
    assert!(ask(&told, 7, 9).is_empty());
}

/// However many reviews there were: what was settled takes no room.
#[test]
fn what_was_settled_is_forgotten() {
    let mut told = Told::default();
    told.opened(4).proposed(2);
    let period = Period {
        from: at(3),
        to: at(90),
    };
    let mut overdue = overdue::Overdue::of(period);
    let mut reviewers = reviewers::Reviewers::of(period);
    let mut follow = |entries: &[LedgerEntry]| {
        for entry in entries {
            overdue.follow(entry);
            reviewers.follow(entry);
        }
        (overdue.open(), reviewers.readable.len())
    };
    // The proposal lapsed before the period.
    assert_eq!(follow(&told.0), (1, 1));
    told.0.clear();
    told.approved(b"weights");
    assert_eq!(follow(&told.0), (0, 0));
}

#[test]
fn a_rubber_stamp_shows() {
    let mut told = Told::default();
    // One reads for hours; the other signs whatever comes within the minute.
    told.opened(90).signed("p-reader");
    let opened = told.0[0].clone();
    for n in 0..3 {
        let mut again = opened.clone();
        again.time = at(10 + n);
        again.stream = format!("review/triage/1.{n}/production/1").parse().unwrap();
        let mut stamp = told.0[1].clone();
        stamp.stream = again.stream.clone();
        stamp.time = again.time + jiff::SignedDuration::from_secs(20);
        if let Event::Signed(signed) = &mut stamp.event {
            signed.person = person("p-stamp");
        }
        told.0.extend([again, stamp]);
    }
    let table = Question::Reviewers.answered(&told.0, &always());
    let row = |who: &str| {
        let mut rows = table.rows.iter();
        let row = rows.find(|row| row[0] == Cell::People(vec![person(who)]));
        let row = row.unwrap();
        assert_eq!(row.len(), table.columns.len());
        let text = |cell: &Cell| match cell {
            Cell::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        row[1..9].iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        row("p-reader"),
        ["1", "1", "100", "60 min", "60 min", "60 min", "0", "0"]
    );
    assert_eq!(
        row("p-stamp"),
        ["3", "3", "100", "20 s", "20 s", "20 s", "3", "0"]
    );
}

/// An answer rests on no more of the past than it must, and on nothing after its period.
#[test]
fn what_is_only_listed_is_kept_for_the_period_alone() {
    let mut told = Told::default();
    told.shown("p-1", 0).signed("p-1").opened(9).asked_for();
    let [reading, signed, opened, asked] = &told.0[..] else {
        panic!("four entries");
    };
    let (before, after) = ((at(10), at(20)), (at(0), at(0)));
    let wants = |question: Question, entry: &LedgerEntry, (from, to): (Timestamp, Timestamp)| {
        question.wants(entry, &Period { from, to })
    };
    for (question, entry, wanted) in [
        (Question::Reads, reading, false),
        (Question::LogReviews, reading, true),
        (Question::LogReviews, asked, true),
        (Question::Reviewers, signed, false),
        (Question::Reviewers, opened, true),
        (Question::Overdue, opened, true),
    ] {
        assert_eq!(wants(question, entry, before), wanted, "{question:?}");
        assert!(!wants(question, entry, after), "{question:?}");
    }
}

#[test]
fn questions_are_asked_by_their_words_and_of_known_types() {
    for question in Question::ALL {
        assert_eq!(question.as_str().parse(), Ok(question));
        for kind in question.kinds() {
            assert!(Event::KINDS.contains(kind), "{kind}");
        }
        let nothing = Period {
            from: Timestamp::MIN,
            to: Timestamp::MIN,
        };
        assert!(question.answered(&[], &nothing).rows.is_empty());
        assert!(QUESTIONS.contains(question.as_str()));
    }
    assert!("why".parse::<Question>().is_err());
}
