//! The tables of a pack as files (CSV, RFC 4180), for the tools of auditors. A cell whose text would be a formula in a
//! spreadsheet begins with an apostrophe: text from outside computes nothing there.

use jiff::Timestamp;

use super::{
    File,
    content::{Change, Dossier, Pack, Who},
    parts,
};

/// The workpapers of a pack.
pub(super) fn of(pack: &Pack) -> Vec<File> {
    let mut files = Vec::new();
    if let Some(period) = &pack.period {
        let drawn = period.changes.iter().filter(|change| change.sampled);
        files.push(table("changes", CHANGES, period.changes.iter().map(change)));
        files.push(table("sample", CHANGES, drawn.map(change)));
        for paper in &period.tables {
            let columns: Vec<&str> = paper.columns.iter().map(String::as_str).collect();
            files.push(table(&paper.name, &columns, paper.rows.iter().cloned()));
        }
    }
    let releases = || pack.releases.iter();
    files.push(table("results", RESULTS, releases().flat_map(results)));
    files.push(table("votes", VOTES, releases().flat_map(votes)));
    files.push(table("evidence", EVIDENCE, releases().flat_map(evidence)));
    let unseen = pack.unseen.iter().map(|unseen| {
        let entries: Vec<String> = unseen.entries.iter().map(ToString::to_string).collect();
        vec![unseen.gap.clone(), unseen.what.clone(), entries.join(" ")]
    });
    files.push(table("unseen", &["gap", "what", "entries"], unseen));
    let entries = pack.entries.iter().map(|line| {
        vec![
            line.entry.to_string(),
            line.time.to_string(),
            line.kind.clone(),
            line.stream.clone(),
            line.version.to_string(),
            line.by.name.clone(),
            line.by.id.clone(),
            line.receipt.clone(),
        ]
    });
    files.push(table("entries", ENTRIES, entries));
    files
}

const ENTRIES: &[&str] = &[
    "entry", "time", "type", "stream", "version", "by", "by id", "receipt",
];

const CHANGES: &[&str] = &[
    "entry",
    "time",
    "environment",
    "what",
    "release",
    "digest",
    "approved before deploy",
    "deployer and authors are not approvers",
    "digest equal",
    "deployed by",
    "approval",
    "approval entry",
    "approved at",
    "approved by",
    "authors",
    "sampled",
    "draw",
    "receipt",
    "approval receipt",
];

fn change(change: &Change) -> Vec<String> {
    let approval = change.approval_entry;
    vec![
        change.entry.to_string(),
        change.time.to_string(),
        change.environment.to_string(),
        change.what.clone(),
        change.release.to_string(),
        change.digest.to_string(),
        yes(change.approved_before),
        yes(change.by_others),
        yes(change.same_digest),
        change.by.name.clone(),
        change.approval.to_string(),
        approval.map(|entry| entry.to_string()).unwrap_or_default(),
        change
            .approved_at
            .map(|time: Timestamp| time.to_string())
            .unwrap_or_default(),
        if change.by_rule {
            "nobody: its depth is auto".to_owned()
        } else {
            people(&change.approved_by)
        },
        people(&change.authors),
        yes(change.sampled),
        change.draw.clone(),
        change.receipt.clone(),
        approval.map(parts::receipt).unwrap_or_default(),
    ]
}

const RESULTS: &[&str] = &[
    "release",
    "entry",
    "environment",
    "rule",
    "title",
    "result",
    "severity",
    "enforcement",
    "message",
    "controls",
    "receipt",
];

fn results(dossier: &Dossier) -> Vec<Vec<String>> {
    let reports = dossier.reports.iter();
    let rows = reports.flat_map(|report| {
        report.results.iter().map(|line| {
            vec![
                dossier.release.to_string(),
                report.entry.to_string(),
                report.environment.to_string(),
                line.rule.clone(),
                line.title.clone(),
                line.result.clone(),
                line.severity.clone(),
                line.enforcement.clone(),
                line.message.clone(),
                line.controls.join("; "),
                parts::receipt(report.entry),
            ]
        })
    });
    rows.collect()
}

const VOTES: &[&str] = &[
    "release", "review", "entry", "time", "by", "by id", "role", "verdict", "reason", "meaning",
    "grade", "record", "counts", "receipt",
];

fn votes(dossier: &Dossier) -> Vec<Vec<String>> {
    let reviews = dossier.reviews.iter();
    let rows = reviews.flat_map(|review| {
        review.votes.iter().map(|vote| {
            vec![
                dossier.release.to_string(),
                review.review.to_string(),
                vote.entry.to_string(),
                vote.time.to_string(),
                vote.by.name.clone(),
                vote.by.id.clone(),
                vote.role.clone().unwrap_or_default(),
                vote.verdict.clone(),
                vote.reason.shown().to_owned(),
                vote.meaning.clone(),
                vote.grade.clone(),
                vote.record.to_string(),
                yes(vote.counts),
                parts::receipt(vote.entry),
            ]
        })
    });
    rows.collect()
}

const EVIDENCE: &[&str] = &[
    "release", "entry", "time", "kind", "producer", "digest", "file", "receipt",
];

fn evidence(dossier: &Dossier) -> Vec<Vec<String>> {
    let told = dossier.evidence.iter().map(|evidence| {
        vec![
            dossier.release.to_string(),
            evidence.entry.to_string(),
            evidence.time.to_string(),
            evidence.kind.clone(),
            evidence.producer.clone(),
            evidence.claim.digest.to_string(),
            evidence.claim.file.clone().unwrap_or_default(),
            parts::receipt(evidence.entry),
        ]
    });
    told.collect()
}

fn yes(holds: bool) -> String {
    if holds { "yes" } else { "no" }.to_owned()
}

fn people(people: &[Who]) -> String {
    let names: Vec<&str> = people.iter().map(|who| who.name.as_str()).collect();
    names.join(", ")
}

fn table(name: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> File {
    let mut text = String::new();
    line(&mut text, columns.iter().copied());
    for row in rows {
        line(&mut text, row.iter().map(String::as_str));
    }
    File::new(format!("workpapers/{name}.csv"), text)
}

fn line<'a>(into: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (n, cell) in cells.enumerate() {
        if n > 0 {
            into.push(',');
        }
        into.push('"');
        into.push_str(guard(cell));
        into.push_str(&cell.replace('"', "\"\""));
        into.push('"');
    }
    into.push_str("\r\n");
}

/// What goes before a cell that a spreadsheet would take for a formula. Also behind blanks and line ends, which some
/// of them drop, and for the full-width signs that some of them fold.
fn guard(cell: &str) -> &'static str {
    let first = cell.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let formula = first.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '|', '%']);
    let hidden = cell.starts_with(['\t', '\r', '\n']);
    if formula || hidden { "'" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_every_cell_is_one_cell() {
        let check = |cell: &str, written: &str| {
            let mut text = String::new();
            line(&mut text, [cell].into_iter());
            assert_eq!(text, format!("\"{written}\"\r\n"), "{cell:?}");
        };
        check("triage/1.0", "triage/1.0");
        check("a, \"b\"\r\nc", "a, \"\"b\"\"\r\nc");
        check("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0");
        check("+1", "'+1");
        check("-1", "'-1");
        check("@SUM(A1)", "'@SUM(A1)");
        check("\t=1", "'\t=1");
        check("\r\n=1", "'\r\n=1");
        check(" =1", "' =1");
        check("＝1", "'＝1");
        check("", "");
    }
}
