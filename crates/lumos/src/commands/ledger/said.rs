//! How the three answers of a verification are said: to people a paragraph each, to programs as JSON.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use jiff::Timestamp;
use lumos_engine::{
    log_review::Signatures,
    views::compare::{Compared, How},
};
use lumos_ledger::{
    Checkpoint,
    verify::{
        Error, Report,
        anchored::{Anchored, By, Cover},
    },
};
use serde_json::{Value, json};

use super::{
    stamped::Stamped,
    trust::{KeyProblem, Step},
};
use crate::commands::{Out, Said};

/// What became of the hashes.
pub(super) enum Integrity {
    /// All agree.
    Whole,
    /// All agree, but the log has a gap, holds what is no entry, or does not continue what the caller holds.
    But(Error),
    /// One does not.
    Broken(Error),
    /// All agree, and nobody whose word counts signed them.
    Disbelieved(KeyProblem),
}

/// Something the caller holds from before.
pub(super) struct Since {
    pub(super) path: PathBuf,
    pub(super) checkpoint: Checkpoint,
    /// The signed note, where it is one.
    pub(super) note: Option<Vec<u8>>,
}

/// The answers.
pub(super) struct Answers {
    pub(super) integrity: Integrity,
    pub(super) report: Option<Report>,
    /// The comparison with business records; `None` where there are none to compare, or it came to nothing.
    pub(super) records: Option<Result<Compared>>,
    /// What was signed for in reviews of the log; `None` where nothing could be made of the entries.
    pub(super) log_reviews: Option<Result<Signatures>>,
    pub(super) since: Vec<Since>,
    pub(super) stamped: Vec<Stamped>,
    /// `None` where no policy names a witness.
    pub(super) anchored: Option<Anchored>,
    /// How the keys that sign follow from those the caller trusts.
    pub(super) steps: Vec<Step>,
    /// What the caller holds from before and is worth nothing.
    pub(super) refused: Vec<KeyProblem>,
}

/// One answer: whether it is a yes, in words, and in JSON.
struct Answer {
    yes: Option<bool>,
    lines: Vec<String>,
    value: Value,
}

impl Answer {
    fn no(line: String, value: Value) -> Self {
        Self {
            yes: Some(false),
            lines: vec![line],
            value,
        }
    }

    fn not_asked(why: &str) -> Self {
        Self {
            yes: None,
            lines: vec![why.to_owned()],
            value: json!({ "detail": why }),
        }
    }
}

/// Why the later questions were not asked.
const BROKEN: &str = "not asked: what does not hold together can be neither complete nor anchored";

impl Answers {
    /// Says that a database contradicts itself before any question could be asked.
    pub(super) fn broken(detail: &str) -> Broken {
        Broken(detail.to_owned())
    }

    /// Says all three.
    ///
    /// # Errors
    /// Never by what does not verify; that is a [`Said::No`].
    pub(super) fn tell(&self, out: Out) -> Result<Said> {
        let answers = [
            ("integrity", self.whole()),
            ("completeness", self.complete()),
            ("anchored", self.range()),
        ];
        Ok(say(&answers, self.report.as_ref(), out))
    }

    fn whole(&self) -> Answer {
        match (&self.integrity, &self.report) {
            (Integrity::Broken(error), _) => failed(error),
            (Integrity::Disbelieved(problem), _) => disbelieved(problem),
            (_, Some(report)) => Answer {
                yes: Some(true),
                lines: [
                    format!(
                        "every hash of {} entries and {} tiles, from the leaves to the signed root {}",
                        report.entries,
                        report.tiles,
                        report.checkpoint.root().to_base64()
                    ),
                    format!("signed by {}", names(report)),
                ]
                .into_iter()
                .chain(self.steps.iter().map(step))
                .collect(),
                value: json!({
                    "entries": report.entries, "entry_bytes": report.entry_bytes, "tiles": report.tiles,
                    "signed_by": report.signatures.iter().map(|(key, _)| key.name()).collect::<Vec<_>>(),
                    "keys": report.signatures.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(),
                    "successions": self.steps.iter().map(|step| json!({
                        "entry": step.entry, "from": step.from, "to": step.to, "vouched_by": step.size,
                    })).collect::<Vec<_>>(),
                }),
            },
            (Integrity::Whole | Integrity::But(_), None) => Answer {
                yes: Some(true),
                lines: vec!["every hash, from the leaves to the signed root".to_owned()],
                value: json!({}),
            },
        }
    }

    fn complete(&self) -> Answer {
        let report = match (&self.integrity, &self.report) {
            (Integrity::Broken(_) | Integrity::Disbelieved(_), _) => {
                return Answer::not_asked(BROKEN);
            }
            (Integrity::But(error @ (Error::Stream { .. } | Error::Entry { .. })), _) => {
                return failed(error);
            }
            (_, Some(report)) => report,
            (_, None) => {
                return Answer::not_asked("not asked: the log does not continue what you hold");
            }
        };
        let mut answer = Answer {
            yes: Some(true),
            lines: vec![format!(
                "{} entries without a gap, {} streams without a gap",
                report.entries, report.streams
            )],
            value: json!({ "streams": report.streams }),
        };
        match &self.records {
            None => {
                let why =
                    "business records: none are in an export; ask the server or a data directory";
                answer.lines.push(why.to_owned());
                answer.value["records"] = json!({ "compared": false });
            }
            Some(Err(error)) => {
                let line = format!("business records could not be compared: {error:#}");
                answer.value["records"] = json!({ "compared": false, "detail": line });
                answer.lines.push(line);
                answer.yes = Some(false);
            }
            Some(Ok(compared)) => records(compared, &mut answer),
        }
        if let Some(signatures) = &self.log_reviews {
            log_reviews(signatures, &mut answer);
        }
        answer
    }

    fn range(&self) -> Answer {
        let report = match (&self.integrity, &self.report) {
            (Integrity::Broken(_) | Integrity::Disbelieved(_), _) => {
                return Answer::not_asked(BROKEN);
            }
            (Integrity::But(error @ Error::History { .. }), _) => return failed(error),
            (_, Some(report)) => report,
            (_, None) => return Answer::not_asked("not asked: the entries are not complete"),
        };
        let size = report.checkpoint.size();
        let mut lines = Vec::new();
        let mut yes = None;
        for held in &self.since {
            yes = Some(true);
            let covered = held.checkpoint.size();
            lines.push(format!(
                "it continues the older checkpoint of {covered} entries in `{}`: nothing of them was changed",
                held.path.display()
            ));
        }
        let no = self.stamped.iter().filter(|stamped| stamped.time.is_err());
        let refused = no.count();
        yes = (!self.stamped.is_empty()).then_some(refused == 0).or(yes);
        if !self.refused.is_empty() {
            yes = Some(false);
        }
        lines.extend(
            self.refused
                .iter()
                .map(|problem| format!("{problem} (code {})", problem.code())),
        );
        lines.extend(self.stamped.iter().map(stamp));
        if let Some(anchored) = &self.anchored {
            yes = Some(!anchored.is_bare() && refused == 0 && self.refused.is_empty());
            lines.extend(covered(anchored, size));
        } else {
            lines.push(
                "no policy was given (--policy FILE): no witness was asked for, and beyond what you hold yourself \
                 only the log's own key vouches for the order of entries"
                    .to_owned(),
            );
        }
        let since = self.since.iter().map(|held| held.checkpoint.size());
        let cover = |c: &Cover| json!({ "by": name(&c.by), "size": c.size, "time": when(c.time) });
        let covers = self.anchored.iter().flat_map(|a| &a.covers).map(cover);
        Answer {
            yes,
            lines,
            value: json!({
                "continues": since.collect::<Vec<_>>(),
                "quorum": self.anchored.as_ref().and_then(|a| a.quorum),
                "covers": covers.collect::<Vec<_>>(),
                "timestamps": self.stamped.iter().map(stamp_value).collect::<Vec<_>>(),
            }),
        }
    }
}

/// A database that cannot even be opened.
pub(super) struct Broken(String);

impl Broken {
    /// Says so.
    ///
    /// # Errors
    /// Never.
    pub(super) fn tell(self, out: Out) -> Result<Said> {
        let broken = Answer::no(self.0.clone(), json!({ "detail": self.0 }));
        let answers = [
            ("integrity", broken),
            ("completeness", Answer::not_asked(BROKEN)),
            ("anchored", Answer::not_asked(BROKEN)),
        ];
        Ok(say(&answers, None, out))
    }
}

fn disbelieved(problem: &KeyProblem) -> Answer {
    let (code, detail) = (problem.code(), problem.to_string());
    let line = format!("every hash agrees, and yet: {detail} (code {code})");
    Answer::no(line, json!({ "detail": detail, "code": code }))
}

fn step(step: &Step) -> String {
    format!(
        "key {} follows key {}: entry {} says so, and the older key signed the first {} entries with it",
        step.to, step.from, step.entry, step.size
    )
}

fn failed(error: &Error) -> Answer {
    let mut detail = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        detail = format!("{detail}: {inner}");
        cause = inner.source();
    }
    Answer::no(
        format!("{detail} (code {})", error.code()),
        json!({ "detail": detail, "code": error.code() }),
    )
}

fn records(compared: &Compared, answer: &mut Answer) {
    let all: u64 = compared.kinds.iter().map(|(_, records)| records).sum();
    let kinds = compared
        .kinds
        .iter()
        .map(|(kind, records)| format!("{records} {kind}"));
    answer.lines.push(format!(
        "{all} business records compared with what the entries say, both ways: {}",
        kinds.collect::<Vec<_>>().join(", ")
    ));
    if !compared.left_out.is_empty() {
        answer.lines.push(format!(
            "not compared here: {}",
            compared.left_out.join(", ")
        ));
    }
    for difference in &compared.differences {
        let how = match difference.how {
            How::NoEntry => "is there, and no entry says so",
            How::NoRecord => "is missing, though entries say so",
            How::Differs => "says something else than the entries",
        };
        answer
            .lines
            .push(format!("{} `{}` {how}", difference.kind, difference.record));
    }
    if compared.differing > 0 {
        answer.yes = Some(false);
        answer
            .lines
            .push(format!("{} records disagree in all", compared.differing));
    }
    let how = |how: How| match how {
        How::NoEntry => "no-entry",
        How::NoRecord => "no-record",
        How::Differs => "differs",
    };
    let found = compared.differences.iter();
    let found = found.map(|d| json!({ "kind": d.kind, "record": d.record, "how": how(d.how) }));
    answer.value["records"] = json!({
        "compared": true, "left_out": compared.left_out, "differing": compared.differing,
        "kinds": compared.kinds.iter().copied().collect::<BTreeMap<_, _>>(),
        "differences": found.collect::<Vec<_>>(),
    });
}

/// Whether what was signed for is what the entries give.
fn log_reviews(signatures: &Result<Signatures>, answer: &mut Answer) {
    let Signatures { all, differing } = match signatures {
        Ok(signatures) => signatures,
        Err(error) => {
            let line = format!("reviews of the log could not be made again: {error:#}");
            answer.value["log_reviews"] = json!({ "compared": false, "detail": line });
            answer.lines.push(line);
            answer.yes = Some(false);
            return;
        }
    };
    answer.value["log_reviews"] =
        json!({ "compared": true, "signed": all, "differing": differing });
    if *all > 0 {
        answer.lines.push(format!(
            "{all} signatures on reviews of the log, each record made again from its entries"
        ));
    }
    for entry in differing {
        answer.yes = Some(false);
        answer.lines.push(format!(
            "entry {entry} signs for something else than the entries of its range give"
        ));
    }
}

/// What an authority said of a stamped checkpoint, which the log continues.
fn stamp(stamped: &Stamped) -> String {
    let size = stamped.checkpoint.size();
    match &stamped.time {
        Ok(time) => format!(
            "the authority saw the first {size} entries at {time}, and none of them was changed since"
        ),
        Err(problem) => {
            format!("the timestamp of the first {size} entries does not hold: {problem}")
        }
    }
}

fn stamp_value(stamped: &Stamped) -> Value {
    let (time, problem) = (stamped.time.as_ref().ok(), stamped.time.as_ref().err());
    let time = time.map(ToString::to_string);
    json!({ "size": stamped.checkpoint.size(), "time": time, "problem": problem })
}

/// What the witnesses of a policy vouch for.
fn covered(anchored: &Anchored, size: u64) -> Vec<String> {
    let mut lines = Vec::new();
    match anchored.quorum {
        None => lines.push("the policy asks for no witness".to_owned()),
        Some(0) if size > 0 => {
            lines.push("no entry is covered by the witnesses that the policy asks for (code ledger-no-quorum)".to_owned());
        }
        Some(quorum) => {
            lines.push(format!(
                "the first {quorum} entries are covered by the quorum of the policy"
            ));
            if quorum < size {
                lines.push(format!(
                    "the last {} are not yet: only the log's own key vouches for them",
                    size - quorum
                ));
            }
        }
    }
    lines.extend(anchored.covers.iter().map(|cover| {
        let (name, size, time) = (name(&cover.by), cover.size, when(cover.time));
        format!("{name} cosigned the first {size} entries at {time}")
    }));
    lines
}

fn name(by: &By) -> String {
    match by {
        By::Witness(name) => format!("witness {name}"),
        _ => "an unknown party".to_owned(),
    }
}

fn when(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().map(Timestamp::from_second);
    time.and_then(Result::ok)
        .map_or_else(|| seconds.to_string(), |time| time.to_string())
}

fn names(report: &Report) -> String {
    let names = report.signatures.iter();
    let names = names.map(|(key, _)| format!("{} with key {:08x}", key.name(), key.id()));
    names.collect::<Vec<_>>().join(", ")
}

fn say(answers: &[(&str, Answer); 3], report: Option<&Report>, out: Out) -> Said {
    let verified = answers.iter().all(|(_, answer)| answer.yes != Some(false)) && report.is_some();
    if out.json {
        let mut value = json!({ "verified": verified });
        if let Some(report) = report {
            value["origin"] = report.checkpoint.origin().into();
            value["size"] = report.checkpoint.size().into();
            value["root"] = report.checkpoint.root().to_base64().into();
        }
        for (question, answer) in answers {
            let mut said = answer.value.clone();
            said["yes"] = json!(answer.yes);
            value[*question] = said;
        }
        outln!("{value:#}");
    } else {
        let no = answers
            .iter()
            .filter(|(_, answer)| answer.yes == Some(false));
        let no: Vec<&str> = no.map(|(question, _)| *question).collect();
        match report.filter(|_| verified) {
            Some(report) => {
                let head = &report.checkpoint;
                outln!("verified: {} entries of {}", head.size(), head.origin());
            }
            None => outln!("DOES NOT VERIFY: {}", no.join(", ")),
        }
        for (question, answer) in answers {
            let word = match answer.yes {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "not known",
            };
            outln!("{question}: {word}");
            answer.lines.iter().for_each(|line| outln!("  {line}"));
        }
    }
    if verified { Said::Yes } else { Said::No }
}
