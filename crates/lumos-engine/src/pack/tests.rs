use jiff::SignedDuration;
use lumos_domain::{
    actor::Actor,
    event::{
        AuthorClaimed, CandidateDetected, Event, ModeSet, PersonAdded, ReleaseApproved,
        ReleasesAssigned, Signed,
    },
    facts::{ApprovalTuple, Assigned, Claim, ModeScope, Source},
    id::ReviewId,
    seal::SealedValue,
    stream::Stream,
    words::{Grade, Mode, Verdict},
};
use lumos_ledger::Hash;

use super::*;
use crate::{
    ports::StoredEntry,
    record::{Context, entry_bytes},
};

/// A ledger of entries an hour apart, and the texts behind them.
#[derive(Default)]
struct Told {
    parts: Parts,
    next: u64,
}

fn sealed(text: &str) -> SealedValue {
    SealedValue::new(*Digest::of(text.as_bytes()).as_bytes(), text.to_owned())
}

impl Told {
    fn say(&mut self, stream: &str, actor: &str, event: impl Into<Event>) {
        let actor: Actor = actor.parse().unwrap();
        let context = Context {
            origin: "ledger.acme.example",
            time: time(self.next),
            actor: &actor,
            command_id: &format!("c-{}", self.next).parse().unwrap(),
            causation: None,
            sandbox: false,
        };
        let stream: Stream = stream.parse().unwrap();
        let bytes = entry_bytes(&context, 0, &stream, self.next + 1, &event.into()).unwrap();
        let index = self.next;
        self.parts.add_entry(StoredEntry { index, bytes }).unwrap();
        self.next += 1;
    }

    fn open(&mut self, text: &str) {
        self.parts.open(sealed(text));
    }

    /// A person by name, readable or not.
    fn person(&mut self, id: &str, name: &str, readable: bool) {
        let added = PersonAdded {
            name: sealed(name).commitment,
            login: sealed(id).commitment,
            service: false,
        };
        self.say(&format!("person/{id}"), "genesis", added);
        if readable {
            self.open(name);
        }
    }

    /// A version is detected, claimed by `author`, signed by `signer`, and assigned by `deployer` with `digest`.
    fn ran(&mut self, version: &str, author: &str, signer: Option<&str>, digest: &[u8]) {
        let release = format!("release/triage/{version}");
        let detected = CandidateDetected {
            source: Source {
                registry: "models".parse().unwrap(),
                name: "triage".into(),
                version: version.into(),
            },
            environment: "production".parse().unwrap(),
            agents: ["ward/intake".parse().unwrap()].into(),
            submitter: None,
            claims: vec![Claim {
                number: 1,
                identity: sealed(version).commitment,
            }],
            declared: None,
            test: false,
        };
        self.say(&release, "agent/release-scanner", detected);
        let person = author.parse().unwrap();
        self.say(
            &release,
            &format!("person/{author}"),
            AuthorClaimed { claim: 1, person },
        );
        let approval: ReviewId = format!("triage/{version}/production/1").parse().unwrap();
        if let Some(signer) = signer {
            let signed = Signed {
                person: signer.parse().unwrap(),
                slot: None,
                verdict: Verdict::Approve,
                reason: sealed("read it").commitment,
                meaning: "approval".into(),
                grade: Grade::Part11,
                record: Digest::of(b"record"),
            };
            let tuple = ApprovalTuple {
                release: release_id(version),
                digest: Digest::of(b"weights"),
                bundles: [].into(),
                report: Digest::of(b"report"),
                environment: "production".parse().unwrap(),
                agents: [].into(),
                expires: Timestamp::MAX,
                sandbox: false,
            };
            let review = format!("review/{approval}");
            self.say(&review, &format!("person/{signer}"), signed);
            let approved = ReleaseApproved { tuple, auto: None };
            self.say(&review, "agent/approval-orchestrator", approved);
        }
        let assigned = Assigned {
            release: release_id(version),
            digest: Digest::of(digest),
            approval,
            share: 100,
            until: None,
        };
        let releases = vec![assigned];
        self.say(
            "assignment/ward/intake/production",
            "person/p-ops",
            ReleasesAssigned { releases },
        );
    }

    fn head(&self) -> Head {
        let checkpoint = Checkpoint::new("ledger.acme.example", self.next, Hash::new([7; 32]));
        Head {
            note: "ledger.acme.example\n\n— ledger.acme.example AAAA\n".to_owned(),
            checkpoint: checkpoint.unwrap(),
            vkeys: Vec::new(),
        }
    }

    fn pack(&self, sample: u32, seed: &str) -> Pack {
        let asked = Asked::Period {
            from: time(0),
            to: time(1_000),
            environment: Some("production".parse().unwrap()),
            sample,
            seed: seed.to_owned(),
        };
        content::of(&self.parts, &self.head(), &asked)
    }
}

fn time(hour: u64) -> Timestamp {
    let hours = i64::try_from(hour).unwrap();
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
}

fn release_id(version: &str) -> ReleaseId {
    format!("triage/{version}").parse().unwrap()
}

/// Four changes: a good one, one approved by its author, one with other bytes, one that nobody approved.
fn four() -> Told {
    let mut told = Told::default();
    told.person("p-ada", "Ada", true);
    told.person("p-ben", "Ben", true);
    told.person("p-gone", "Cleo", false);
    told.ran("1.0", "p-ada", Some("p-ben"), b"weights");
    told.ran("1.1", "p-ada", Some("p-ada"), b"weights");
    told.ran("1.2", "p-ada", Some("p-gone"), b"other weights");
    told.ran("1.3", "p-ada", None, b"weights");
    told
}

#[test]
fn the_population_is_whole_and_what_is_wrong_with_it_comes_first() {
    let pack = four().pack(0, "seed");
    let period = pack.period.as_ref().unwrap();
    assert_eq!(
        (period.population, period.unmatched, period.drawn),
        (4, 3, 0)
    );
    let told: Vec<_> = period
        .changes
        .iter()
        .map(|change| {
            let checks = (change.approved_before, change.by_others, change.same_digest);
            (change.release.version.as_str(), checks)
        })
        .collect();
    let expected = [
        ("1.1", (true, false, true)),
        ("1.2", (true, true, false)),
        ("1.3", (false, false, false)),
        ("1.0", (true, true, true)),
    ];
    assert_eq!(told, expected);
    // What is wrong is shown in full without being drawn; what is not wrong is not.
    let full: Vec<_> = pack
        .releases
        .iter()
        .map(|d| d.release.version.as_str())
        .collect();
    assert_eq!(full, ["1.1", "1.2", "1.3"]);
    let signer = &period.changes[1].approved_by[0];
    assert_eq!(signer.name, "(erased) p-gone");
    assert_eq!(period.changes[3].approved_by[0].name, "Ben");
}

#[test]
fn a_sample_is_drawn_again_by_anybody_and_by_another_seed_is_another() {
    let told = four();
    let drawn = |sample, seed: &str| -> Vec<String> {
        let period = told.pack(sample, seed).period.unwrap();
        for change in &period.changes {
            let text = format!("{seed}/{}/{}", change.entry, change.release);
            assert_eq!(change.draw, Digest::of(text.as_bytes()).hex());
        }
        let mut all: Vec<_> = period.changes.iter().map(|c| c.draw.clone()).collect();
        all.sort();
        let sampled = period.changes.iter().filter(|change| change.sampled);
        let mut sampled: Vec<_> = sampled.map(|change| change.draw.clone()).collect();
        sampled.sort();
        assert_eq!(sampled, all[..sampled.len()], "the smallest");
        sampled
    };
    assert_eq!(drawn(2, "a"), drawn(2, "a"));
    assert_ne!(drawn(2, "a"), drawn(2, "b"));
    assert_eq!(drawn(2, "a").len(), 2);
    assert_eq!(drawn(900, "a").len(), 4, "no more than there are");
}

#[test]
fn what_could_not_be_seen_is_computed() {
    let mut told = four();
    let gaps = |told: &Told| -> Vec<String> {
        let pack = told.pack(4, "seed");
        pack.unseen.into_iter().map(|unseen| unseen.gap).collect()
    };
    let before = gaps(&told);
    for gap in [
        "not witnessed",
        "never asked",
        "not scanned",
        "erased",
        "what runs",
    ] {
        assert!(before.iter().any(|named| named == gap), "{gap}: {before:?}");
    }
    assert!(!before.iter().any(|named| named == "observe"), "{before:?}");
    told.say(
        "org",
        "person/p-ada",
        ModeSet {
            scope: ModeScope::Every,
            environment: "production".parse().unwrap(),
            mode: Mode::Observe,
            until: Some(time(2_000)),
            reason: sealed("a look").commitment,
        },
    );
    let stepped = lumos_domain::event::ClockStepped {
        expected: time(9),
        found: time(3),
    };
    told.say("org", "clock", stepped);
    told.parts.count(vec![Asks {
        agent: "ward/intake".parse().unwrap(),
        environment: "production".parse().unwrap(),
        asked: 3,
        last: time(3),
    }]);
    let after = gaps(&told);
    for gap in ["observe", "clock"] {
        assert!(after.iter().any(|named| named == gap), "{gap}: {after:?}");
    }
    assert!(
        !after.iter().any(|named| named == "never asked"),
        "{after:?}"
    );
}

#[test]
fn a_text_that_nobody_committed_to_is_no_part() {
    let mut told = Told::default();
    told.person("p-ada", "Ada", false);
    let line = |value: &SealedValue, text: &str| {
        let sealed = serde_json::to_value(value.commitment).unwrap();
        serde_json::json!([{ "sealed": sealed, "salt": hex::encode(value.salt), "value": text }])
            .to_string()
    };
    let (name, other) = (sealed("Ada"), sealed("Mallory"));
    for wrong in [
        line(&name, "Mallory"),
        line(&other, "Mallory"),
        "[{}]".to_owned(),
    ] {
        assert!(told.parts.add_opened(wrong.as_bytes()).is_err(), "{wrong}");
    }
    told.parts
        .add_opened(line(&name, "Ada").as_bytes())
        .unwrap();
    assert_eq!(told.parts.name(&"p-ada".parse().unwrap()), Some("Ada"));
    assert!(
        told.parts
            .add_blob(Digest::of(b"a"), b"b".to_vec())
            .is_err()
    );
}

/// A login, a password's hash and a token are never opened, whoever reads.
#[test]
fn nothing_that_opens_a_door_is_opened() {
    let mut told = Told::default();
    told.person("p-ada", "Ada", true);
    let wanted = told.parts.wanted();
    assert!(wanted.contains(&sealed("Ada").commitment));
    assert!(!wanted.contains(&sealed("p-ada").commitment), "a login");
    let set = lumos_domain::event::CredentialSet {
        hash: sealed("a hash").commitment,
        by_other: false,
    };
    told.say("person/p-ada", "person/p-ada", set);
    assert_eq!(told.parts.wanted(), wanted);
}
